"""Connections whose requests never come: closed after a time, so that idle senders cannot use up the process's sockets."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_TIMEOUT_S = 30.0
"""From a connection's start, or a request's first byte, to the end of its headers. Bodies have a time of their own, and
connections that had an answer uvicorn's."""


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which waits for headers without end."""

    headers_timeout_s = HEADERS_TIMEOUT_S
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """See asyncio."""
        super().connection_made(transport)
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._wait_for_headers()

    def on_headers_complete(self) -> None:
        """The last byte of its headers."""
        self._stop_waiting()
        super().on_headers_complete()

    def _wait_for_headers(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(self.headers_timeout_s, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
