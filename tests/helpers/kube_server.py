"""What the small Kubernetes API servers of the tests have in common: real HTTP, a kubeconfig, who is let in."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlparse

import yaml

TOKEN = "t0ken"


class KubeServer:
    """`with` it: it runs in a thread, and a block that ends well raises what it complained of."""

    def __init__(self, *, refuse: tuple[int, str] | None = None) -> None:
        """`refuse`: status and message of the answer to every request instead."""
        self.refuse = refuse
        self.objects: dict[str, dict[str, Any]] = {}
        """By path."""
        self.requests: list[tuple[str, str]] = []
        self.complaints: list[str] = []

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PATCH(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.answer(self, body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.answer(self, body)

            def do_GET(self) -> None:
                outer.answer(self, None)

            def do_DELETE(self) -> None:
                outer.answer(self, None)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)
        if exc[0] is None and self.complaints:
            raise AssertionError(self.complaints)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig with this server as its current context, `here`."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": TOKEN}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes | None) -> None:
        url = urlparse(handler.path)
        self.requests.append((handler.command, url.path))
        if handler.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.send(handler, 401, failure(401, "Unauthorized"))
        if self.refuse:
            return self.send(handler, self.refuse[0], failure(*self.refuse))
        return self.respond(handler, url.path, url.query, body)

    def respond(self, handler: BaseHTTPRequestHandler, path: str, query: str, body: bytes | None) -> None:
        """Answer a request of somebody who is let in, by `send`."""
        raise NotImplementedError

    def send(self, handler: BaseHTTPRequestHandler, status: int, value: dict[str, Any] | str) -> None:
        data = (value if isinstance(value, str) else json.dumps(value)).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


def failure(code: int, message: str) -> dict[str, Any]:
    """A Kubernetes `Status`."""
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}


def status(*conditions: tuple[str, str, str, str], generation: int = 1, url: str = "", **more: Any) -> dict[str, Any]:
    """A `status` with conditions (type, status, reason, message)."""
    keys = ("type", "status", "reason", "message")
    found: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": [{k: v for k, v in zip(keys, c, strict=True) if v} for c in conditions],
        **more,
    }
    if url:
        found |= {"url": "http://outside", "address": {"url": url}}
    return found
