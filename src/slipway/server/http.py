"""REST: bodies in, JSON out, and each reason for not answering as a status with one line."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

import orjson
from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from slipway.errors import ConfigError
from slipway.protocol.rest import REQUEST_ID, TIMEOUT
from slipway.server.call import Call
from slipway.server.dataplane import DataPlane
from slipway.server.refusal import Reason, RefusedError, reason_of, told

JSON_TYPES = ("", "application/json", "application/octet-stream", "application/x-www-form-urlencoded")
"""Content types of a body that is read as JSON: none, its own, that of binary tensors behind it, and what `curl -d` says
unasked."""
FORM = "multipart/form-data"
DRAIN_FACTOR = 4
"""Of a refused body so many times the limit is read and thrown away, so that the client gets to read why; then the line is
cut."""


def json_response(value: Any, status: int = 200) -> Response:
    """JSON with a newline, as terminals like it."""
    return Response(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE), status, media_type="application/json")


def refused(exc: Exception) -> Response:
    """What a client is told of an exception."""
    reason = reason_of(exc)
    response = json_response({"error": told(exc)}, reason.http)
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
        self,
        request: Request,
        protocol: str,
        answer: Callable[[Call, bytes], Response],
        *,
        model: str | None = None,
        version: str = "",
        forms: bool = False,
    ) -> Response:
        """From a request's headers to its answer.

        Args:
            protocol: of the metrics.
            answer: body to response, in a worker thread.
            model: whose it is, with its version if the path names one; None: the body says so.
            forms: whether the body may be a form.
        """
        call = Call(protocol, request_id=request.headers.get(REQUEST_ID, "")[:128] or secrets.token_hex(8))
        response: Response
        try:
            async with self.plane.accepted(call, model, version):
                call.timeout_s = timeout_of(request)
                with self.plane.holding() as more:
                    body = await self.body(request, more, forms=forms)
                    response = await self.plane.compute(call, lambda: answer(call, body), lambda: _disconnected(request))
        except Exception as exc:  # noqa: BLE001  the process edge of a request, logged where it was accepted
            response = refused(exc)
        response.headers[REQUEST_ID] = call.request_id
        return response

    async def body(self, request: Request, more: Callable[[int], None], *, forms: bool = False) -> bytes:
        """Of a request, at most the limit; what is above that is thrown away unread.

        Args:
            more: told the bytes that come in.
            forms: see `answered`.
        Raises: RefusedError: too large, too slow, compressed, or of a content type that is not read.
        """
        _check_type(request.headers.get("content-type", ""), forms=forms)
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
    if not text.isascii() or not text.isdecimal() or len(text) > 7 or not 0 < int(text) <= 3_600_000:
        raise ConfigError(f"{TIMEOUT}: must be milliseconds, 1 to 3600000, got '{text[:40]}'")
    return int(text) / 1000


def _check_type(content_type: str, *, forms: bool) -> None:
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in JSON_TYPES and not kind.endswith("+json") and not (forms and kind == FORM):
        other = FORM if forms else "application/octet-stream for binary tensors"
        raise RefusedError(Reason.UNSUPPORTED, f"content-type: got '{kind[:40]}', allowed: application/json, or {other}")


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _too_large(limit: int) -> RefusedError:
    return RefusedError(Reason.TOO_LARGE, f"body: above the limit of {limit // 1024 // 1024} MB; send fewer or smaller items")
