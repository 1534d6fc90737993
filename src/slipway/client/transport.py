"""Which way a request goes, decided by its size, and the requests themselves.

    values of the inputs    without a gRPC address    with one
    up to 4 kB              JSON                      gRPC
    up to 1 MB              binary tensors            gRPC
    above                   binary tensors            binary tensors

Median milliseconds (quartiles) of a request, ways in turn, client and server on one shared core of an Intel Xeon (model 207):

    request                      n      JSON               binary             gRPC
    FP32 [256], echoed           100    8.0 (5.2..10.9)    8.0 (5.7..10.7)    7.4 (4.9..8.9)
    FP32 [4096], echoed          100    8.5 (7.0..11.4)    6.1 (4.0..7.7)     5.1 (3.4..6.9)
    FP32 [1, 3, 200, 200]        100    39.3 (31.7..47.3)  8.7 (7.7..11.9)    7.6 (6.0..9.4)
    JPEG of 102 kB, classified   100    15.2 (12.8..20.0)  14.7 (11.4..17.1)  13.6 (11.3..16.0)
    FP32 of 4 MB, echoed         20                        36.1 (31.2..41.1)  102.4 (82.2..123.9)
"""

from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args
from urllib.parse import quote

from slipway.client.by_http import Http
from slipway.client.retries import Deadline, retried
from slipway.errors import ConfigError, unknown
from slipway.protocol.rest import InferAnswer, InferRequest

T = TypeVar("T")
Way = Literal["json", "binary", "grpc"]
Transport = Literal["auto", "json", "binary", "grpc"]
JSON_MAX_BYTES = 4096
"""Up to here JSON costs the same, and is what people can read on the way."""
GRPC_MAX_BYTES = 1 << 20
MAX_TIMEOUT_S = 3600.0
"""What servers take."""


class Transports:
    """The ways to one server, each with its retries."""

    def __init__(
        self, url: str, *, token: str, timeout_s: float, grpc: str, transport: Transport, sleep: Callable[[float], object]
    ) -> None:
        """See `Client`."""
        if transport not in get_args(Transport):
            raise ConfigError(unknown("transport", transport, get_args(Transport)))
        if transport == "grpc" and not grpc:
            raise ConfigError("transport: 'grpc' needs the address of the server's gRPC; give grpc='HOST:PORT'")
        self._timeout_s, self._transport, self._sleep = _checked(timeout_s), transport, sleep
        self._http = Http(url, token=token)
        self._grpc = None
        if grpc:
            from slipway.client.by_grpc import Grpc  # a fifth more to import, for those who use it

            self._grpc = Grpc(grpc, token=token, secure=self._http.secure, here=self._http.here)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        if self._grpc is not None:
            self._grpc.close()

    def way(self, num_bytes: int, *, is_json: bool = True) -> Way:
        """Of a request whose inputs have so many bytes of values; `is_json`: of kinds that JSON has."""
        if self._transport != "auto":
            return self._transport
        if self._grpc is not None and num_bytes <= GRPC_MAX_BYTES:
            return "grpc"
        return "json" if is_json and num_bytes <= JSON_MAX_BYTES else "binary"

    def ready(self) -> bool:
        """See `Client.ready`; not tried again."""
        return self._http.ready(Deadline(self._timeout_s))

    def get(self, path: str, timeout_s: float | None = None) -> dict[str, Any]:
        """JSON of a route."""
        return self._retried(lambda deadline: self._http.get(path, deadline), timeout_s)

    def get_once(self, path: str, deadline: Deadline) -> dict[str, Any]:
        """The same, within the try of another request."""
        return self._http.get(path, deadline)

    def infer(
        self,
        way: Way,
        model: str,
        request: InferRequest,
        read: Callable[[InferAnswer, Deadline], T],
        *,
        timeout_s: float | None,
        request_id: str,
    ) -> T:
        """What `read` makes of the answer; it is asked for again, too, when `read` raises a ServerError.

        Args:
            model: name, or name:version.
        """
        name, _, version = model.partition(":")
        by_grpc, path, binary = self._grpc, path_of(model), way == "binary"

        def attempt(deadline: Deadline) -> T:
            if way == "grpc" and by_grpc is not None:
                answer = by_grpc.infer(name, version, request, deadline, request_id=request_id)
            else:
                answer = self._http.infer(path, request, deadline, binary=binary, request_id=request_id)
            return read(answer, deadline)

        return self._retried(attempt, timeout_s)

    def _retried(self, attempt: Callable[[Deadline], T], timeout_s: float | None) -> T:
        timeout_s = self._timeout_s if timeout_s is None else _checked(timeout_s)
        return retried(attempt, timeout_s=timeout_s, sleep=self._sleep)


def path_of(model: str) -> str:
    """Route of a model, `name` or `name:version`."""
    name, _, version = model.partition(":")
    path = f"/v2/models/{quote(name, safe='')}"
    return f"{path}/versions/{quote(version, safe='')}" if version else path


def _checked(timeout_s: float) -> float:
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise ConfigError(f"timeout_s: must be above 0 and at most {MAX_TIMEOUT_S:g} seconds, got {timeout_s}")
    return timeout_s
