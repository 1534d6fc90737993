"""Who may ask: a bearer token, where one is set; off by default, behind a gateway that checks for itself."""

import hmac
import re

from starlette.types import ASGIApp, Receive, Scope, Send

from slipway.server.http import refused
from slipway.server.refusal import Reason, RefusedError

OPEN = re.compile(r"/|/health|/metrics|/v2/health/(live|ready)|/v2/models/[^/]+(/versions/[^/]+)?/ready")
"""Paths that need no token: probes, scrapes, and the playground's page, which asks for one."""


class Access:
    """Compares what a request carries with the token."""

    def __init__(self, token: str = "") -> None:
        """`token`: empty: everybody may ask."""
        self._expected = f"Bearer {token}" if token else ""

    def check(self, authorization: str | None) -> None:
        """Raises: RefusedError: another token, or none."""
        if self._expected and not hmac.compare_digest((authorization or "").encode(), self._expected.encode()):
            raise RefusedError(Reason.UNAUTHENTICATED, "authorization: needs `Bearer TOKEN`, the token this server was given")


class AccessMiddleware:
    """The same for every HTTP request but those to OPEN paths."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http" and not OPEN.fullmatch(scope["path"]):
            sent = next((value for key, value in scope["headers"] if key == b"authorization"), b"")
            try:
                self._access.check(sent.decode("latin-1"))
            except RefusedError as exc:
                await refused(exc)(scope, receive, send)
                return
        await self._app(scope, receive, send)
