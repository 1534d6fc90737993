"""A small Kubernetes API server for tests: one kind, InferenceService, by real HTTP.

It checks every request against what the real one demands (server-side apply's content type and parameters, names that
agree, fields that KServe's own type has), and plays a script of states: one more step of it at every GET.
"""

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import yaml

GROUP = "/apis/serving.kserve.io/v1beta1"
TOKEN = "t0ken"


class KubeApi:
    """`with KubeApi([state, …]) as api:`; a state is an InferenceService's `status`, the last one stays."""

    def __init__(self, states: Sequence[dict[str, Any]] = (), *, refuse: tuple[int, str] | None = None) -> None:
        """`refuse`: status and message of the answer to every request instead."""
        self.states, self.refuse = list(states), refuse
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.complaints: list[str] = []

    def __enter__(self) -> "KubeApi":
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_PATCH(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.answer(self, body)

            def do_GET(self) -> None:
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
            return self._send(handler, 401, failure(401, "Unauthorized"))
        if self.refuse:
            return self._send(handler, self.refuse[0], failure(*self.refuse))
        if not url.path.startswith(GROUP):
            return self._send(handler, 404, failure(404, "the server could not find the requested resource"))
        if body is not None:
            self._apply(handler, url.path, parse_qs(url.query), body)
        current = self.objects.get(url.path)
        if current is None:
            return self._send(handler, 404, failure(404, "not found"))
        if body is None and self.states:
            current["status"] = self.states[0] if len(self.states) == 1 else self.states.pop(0)
        return self._send(handler, 200, current)

    def _apply(self, handler: BaseHTTPRequestHandler, path: str, query: dict[str, list[str]], body: bytes) -> None:
        applied = yaml.safe_load(body)
        _, _, _, _, _, namespace, plural, name = path.split("/")
        expectations = {
            "content type": (handler.headers.get("Content-Type"), "application/apply-patch+yaml"),
            "fieldManager": (query.get("fieldManager"), ["slipway"]),
            "force": (query.get("force"), ["true"]),
            "plural": (plural, "inferenceservices"),
            "apiVersion": (applied.get("apiVersion"), "serving.kserve.io/v1beta1"),
            "kind": (applied.get("kind"), "InferenceService"),
            "name": (applied["metadata"].get("name"), name),
            "namespace": (applied["metadata"].get("namespace"), namespace),
            "managedFields": (applied["metadata"].get("managedFields"), None),
            "status": (applied.get("status"), None),
        }
        self.complaints += [f"{what}: got {got!r}, want {want!r}" for what, (got, want) in expectations.items() if got != want]
        generation = self.objects.get(path, {"metadata": {"generation": 0}})["metadata"]["generation"] + 1
        self.objects[path] = {**applied, "metadata": {**applied["metadata"], "generation": generation}}

    def _send(self, handler: BaseHTTPRequestHandler, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
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
