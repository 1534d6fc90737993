"""Why a request is not answered: one table of what each transport says, and the error that carries it."""

from enum import Enum

from slipway.errors import NotFoundError, SlipwayError, StoreError, UserError

MAX_TOLD_BYTES = 2000
"""gRPC's clients take 8 kB of trailing metadata, where each byte beyond ASCII is written as three."""


class Reason(Enum):
    """HTTP's status and gRPC's code of each."""

    MALFORMED = (400, "INVALID_ARGUMENT")
    UNAUTHENTICATED = (401, "UNAUTHENTICATED")
    FORBIDDEN = (403, "PERMISSION_DENIED")
    NOT_FOUND = (404, "NOT_FOUND")
    TOO_SLOW = (408, "DEADLINE_EXCEEDED")
    TOO_LARGE = (413, "RESOURCE_EXHAUSTED")
    UNSUPPORTED = (415, "INVALID_ARGUMENT")
    GONE = (499, "CANCELLED")
    """Nobody is there to read it; the number is nginx's."""
    INTERNAL = (500, "INTERNAL")
    OVERLOADED = (503, "RESOURCE_EXHAUSTED")
    NOT_READY = (503, "UNAVAILABLE")
    DEADLINE = (504, "DEADLINE_EXCEEDED")

    @property
    def http(self) -> int:
        """The status."""
        return self.value[0]

    @property
    def grpc(self) -> str:
        """The name of the code."""
        return self.value[1]


class RefusedError(SlipwayError):
    """A request that is not answered for another reason than its content."""

    def __init__(self, reason: Reason, message: str, *, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.reason, self.retry_after_s = reason, retry_after_s
        self.retryable = reason in (Reason.OVERLOADED, Reason.NOT_READY)


def reason_of(exc: BaseException) -> Reason:
    """What an exception is for the client; INTERNAL: a fault of ours."""
    if isinstance(exc, RefusedError):
        return exc.reason
    if isinstance(exc, NotFoundError):
        return Reason.NOT_FOUND
    if isinstance(exc, StoreError):
        return Reason.NOT_READY
    return Reason.MALFORMED if isinstance(exc, UserError) else Reason.INTERNAL


def told(exc: BaseException) -> str:
    """What a client reads: one line of at most MAX_TOLD_BYTES; of a fault of ours, that it is one."""
    if reason_of(exc) is Reason.INTERNAL:
        return "internal error; the server's log has the cause"
    line = " ".join(str(exc).splitlines())  # it may quote the client's own line breaks
    return line.encode("utf-8", "replace")[:MAX_TOLD_BYTES].decode("utf-8", "ignore")
