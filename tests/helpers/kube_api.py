"""A small Kubernetes API server for tests, by real HTTP.

Objects that are put into it can be read, listed by selectors, and their pods' logs fetched. InferenceServices can be applied:
it checks those requests against what the real one demands (server-side apply's content type and parameters, names that
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
PLURALS = {"StorageClass": "storageclasses"}


class KubeApi:
    """`with KubeApi([state, …]) as api:`; a state is an InferenceService's `status`, the last one stays."""

    def __init__(self, states: Sequence[dict[str, Any]] = (), *, refuse: tuple[int, str] | None = None) -> None:
        """`refuse`: status and message of the answer to every request instead."""
        self.states, self.refuse = list(states), refuse
        self.objects: dict[str, dict[str, Any]] = {}
        self.logs: dict[tuple[str, str, str], str] = {}
        """(namespace, pod, container) -> text."""
        self.admission: tuple[int, str] | None = None
        """Status and message of the answer to whatever is to be made."""
        self.forbidden: set[str] = set()
        """Plurals that this account may not read."""
        self.requests: list[tuple[str, str]] = []
        self.complaints: list[str] = []

    def __enter__(self) -> "KubeApi":
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
        if handler.command == "POST":
            return self._create(handler, parse_qs(url.query), body or b"")
        if body is not None:
            self._apply(handler, url.path, parse_qs(url.query), body)
        current = self.objects.get(url.path)
        if current is None:
            return self._look(handler, url.path, {k: v[0] for k, v in parse_qs(url.query).items()})
        if body is None and self.states:
            current["status"] = self.states[0] if len(self.states) == 1 else self.states.pop(0)
        return self._send(handler, 200, current)

    def put(self, *objects: dict[str, Any]) -> None:
        """Have these objects, as if they had been applied and looked at by their controllers."""
        for obj in objects:
            self.objects[path_of(obj)] = obj

    def remove(self, kind: str, name: str = "") -> None:
        """Have no such object any more; no name: none of the kind."""
        for path, obj in list(self.objects.items()):
            if obj["kind"] == kind and name in ("", obj["metadata"]["name"]):
                del self.objects[path]

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """The object itself, to change it."""
        return next(o for o in self.objects.values() if (o["kind"], o["metadata"]["name"]) == (kind, name))

    def _look(self, handler: BaseHTTPRequestHandler, path: str, query: dict[str, str]) -> None:
        parts = path.strip("/").split("/")
        if path == "/version":
            return self._send(handler, 200, {"gitVersion": "v1.35.0"})
        if parts[-1] == "log":
            text = self.logs.get((parts[3], parts[5], query["container"]))
            return self._send(handler, 200 if text else 404, text or failure(404, "no log"))
        if parts[-1] in self.forbidden:
            return self._send(
                handler, 403, failure(403, f'{parts[-1]} is forbidden: User "me" cannot list resource "{parts[-1]}"')
            )
        group = "/".join(parts[:3] if parts[0] == "apis" else parts[:2])
        known = {PLURALS.get(o["kind"], o["kind"].lower() + "s") for p, o in self.objects.items() if p.startswith(f"/{group}/")}
        if len(parts) == 3 and parts[0] == "apis" and known:
            return self._send(handler, 200, {"kind": "APIResourceList", "resources": [{"name": plural} for plural in known]})
        if parts[-1] not in known:  # an object that is not there, or a collection without any
            empty = (len(parts) in (3, 5) and parts[0] == "api") or (len(parts) in (4, 6) and parts[0] == "apis")
            return (
                self._send(handler, 200, {"items": []})
                if empty
                else self._send(handler, 404, failure(404, f"{path} not found"))
            )
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-1] else ""
        items = [
            obj for its, obj in self.objects.items()
            if its.startswith(f"/{group}/") and its.split("/")[-2] == parts[-1]
            and namespace in ("", obj["metadata"].get("namespace"))
            and _selected(obj.get("metadata", {}).get("labels") or {}, query.get("labelSelector", ""))
            and all(_field(obj, name) == value for name, value in _pairs(query.get("fieldSelector", "")))
        ]  # fmt: skip
        return self._send(handler, 200, {"kind": "List", "items": items, "metadata": {}})

    def _create(self, handler: BaseHTTPRequestHandler, query: dict[str, list[str]], body: bytes) -> None:
        if query.get("dryRun") != ["All"]:
            self.complaints.append(f"POST without a dry run: {handler.path}")
        if self.admission:
            return self._send(handler, self.admission[0], failure(*self.admission))
        return self._send(handler, 201, json.loads(body))

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

    def _send(self, handler: BaseHTTPRequestHandler, status: int, value: dict[str, Any] | str) -> None:
        data = (value if isinstance(value, str) else json.dumps(value)).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "text/plain" if isinstance(value, str) else "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


def path_of(obj: dict[str, Any]) -> str:
    """Where the API has an object."""
    group, meta = obj["apiVersion"], obj["metadata"]
    root = f"/apis/{group}" if "/" in group else f"/api/{group}"
    within = f"/namespaces/{meta['namespace']}" if meta.get("namespace") else ""
    return f"{root}{within}/{PLURALS.get(obj['kind'], obj['kind'].lower() + 's')}/{meta['name']}"


def _pairs(selector: str) -> list[tuple[str, str]]:
    return [tuple(part.split("=")) for part in selector.split(",") if part]


def _selected(labels: dict[str, str], selector: str) -> bool:
    return all(labels.get(name) == value for name, value in _pairs(selector))


def _field(obj: Any, name: str) -> Any:
    for part in name.split("."):
        obj = (obj or {}).get(part)
    return obj


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
