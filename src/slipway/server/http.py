"""REST: bodies in, JSON out, and each reason for not answering as a status with one line."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import Any

import orjson
from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from slipway.errors import ConfigError
from slipway.server.call import Call
from slipway.server.dataplane import DataPlane
from slipway.server.refusal import Reason, RefusedError, reason_of

TIMEOUT = "X-Request-Timeout-Ms"
REQUEST_ID = "X-Request-Id"
DRAIN_FACTOR = 4
"""Of a refused body so many times the limit is read and thrown away, so that the client gets to read why; then the line is
cut."""


def json_response(value: Any, status: int = 200) -> Response:
    """JSON with a newline, as terminals like it."""
    return Response(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE), status, media_type="application/json")


def refused(exc: Exception) -> Response:
    """What a client is told of an exception."""
    reason = reason_of(exc)
    message = str(exc) if reason is not Reason.INTERNAL else "internal error; the server's log has the cause"
    response = json_response({"error": message}, reason.http)
    if isinstance(exc, RefusedError) and exc.retry_after_s:
        response.headers["Retry-After"] = str(exc.retry_after_s)
    if reason is Reason.UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


class Rest:
    """Requests that models answer, over a data plane."""

    def __init__(self, plane: DataPlane) -> None:
        self.plane = plane

    async def answered(
        self, request: Request, protocol: str, check: Callable[[Call], None], answer: Callable[[Call, bytes], Response]
    ) -> Response:
        """From a request's headers to its answer.

        Args:
            protocol: of the metrics.
            check: looks at what is known before the body is read, and says whose the call is, if the path does.
            answer: body to response, in a worker thread.
        """
        request_id = request.headers.get(REQUEST_ID, "")[:128] or secrets.token_hex(8)
        call = Call(protocol, request_id=request_id)
        response: Response
        try:
            call = Call(protocol, request_id=request_id, timeout_s=timeout_of(request))
            with contextlib.suppress(Exception):  # whose it is, for the metrics; what is wrong is told below
                check(call)
            async with self.plane.place(call):
                check(call)
                with self.plane.holding() as more:
                    body = await self._body(request, more)
                    response = await self.plane.compute(call, lambda: answer(call, body), lambda: _disconnected(request))
        except Exception as exc:  # noqa: BLE001  the process edge of a request, logged by the place
            response = refused(exc)
        response.headers[REQUEST_ID] = request_id
        return response

    async def _body(self, request: Request, more: Callable[[int], None]) -> bytes:
        """At most the limit; what is above that is thrown away unread."""
        limit = self.plane.limits.max_body_bytes
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise RefusedError(Reason.UNSUPPORTED, f"content-encoding '{encoding[:40]}' is not supported; send it as it is")
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > DRAIN_FACTOR * limit:
            raise _too_large(limit)
        chunks, num_bytes = [], 0
        try:
            async with asyncio.timeout(self.plane.limits.body_timeout_s):
                async for chunk in request.stream():
                    num_bytes += len(chunk)
                    if num_bytes <= limit:
                        more(len(chunk))
                        chunks.append(chunk)
                    else:
                        chunks.clear()
                        if num_bytes > DRAIN_FACTOR * limit:
                            break
        except TimeoutError:
            raise RefusedError(
                Reason.TOO_SLOW, f"body: {num_bytes} bytes within {self.plane.limits.body_timeout_s:g} s; send it faster"
            ) from None
        except ClientDisconnect:
            raise RefusedError(Reason.GONE, "the client went away") from None
        if num_bytes > limit:
            raise _too_large(limit)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def timeout_of(request: Request) -> float | None:
    """Seconds that the client waits, if it says so. Raises: ConfigError: no number above 0."""
    text = request.headers.get(TIMEOUT)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= 3_600_000:
        raise ConfigError(f"{TIMEOUT}: must be milliseconds, 1 to 3600000, got '{text[:40]}'")
    return int(text) / 1000


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _too_large(limit: int) -> RefusedError:
    return RefusedError(Reason.TOO_LARGE, f"body: above the limit of {limit // 1024 // 1024} MB; send fewer or smaller items")
