"""A small Kubernetes API server for tests: objects that are put into it are read, listed by selectors, and their pods' logs
fetched; what is to be made is only tried.
"""

import json
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

from tests.helpers.kube_server import KubeServer, failure

PLURALS = {"StorageClass": "storageclasses"}


class KubeApi(KubeServer):
    """See the module."""

    def __init__(self, *, refuse: tuple[int, str] | None = None) -> None:
        super().__init__(refuse=refuse)
        self.logs: dict[tuple[str, str, str], str] = {}
        """(namespace, pod, container) -> text."""
        self.admission: tuple[int, str] | None = None
        """Status and message of the answer to whatever is to be made."""
        self.forbidden: set[str] = set()
        """Plurals that this account may not read."""

    def respond(self, handler: BaseHTTPRequestHandler, path: str, query: str, body: bytes | None) -> None:
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        if handler.command == "POST":
            return self._create(handler, asked, body or b"")
        if (current := self.objects.get(path)) is not None:
            return self.send(handler, 200, current)
        return self._look(handler, path, asked)

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
            return self.send(handler, 200, {"gitVersion": "v1.35.0"})
        if parts[-1] == "log":
            text = self.logs.get((parts[3], parts[5], query["container"]))
            return self.send(handler, 200 if text else 404, text or failure(404, "no log"))
        if parts[-1] in self.forbidden:
            return self.send(
                handler, 403, failure(403, f'{parts[-1]} is forbidden: User "me" cannot list resource "{parts[-1]}"')
            )
        group = "/".join(parts[:3] if parts[0] == "apis" else parts[:2])
        known = {PLURALS.get(o["kind"], o["kind"].lower() + "s") for p, o in self.objects.items() if p.startswith(f"/{group}/")}
        if len(parts) == 3 and parts[0] == "apis" and known:
            return self.send(handler, 200, {"kind": "APIResourceList", "resources": [{"name": plural} for plural in known]})
        if parts[-1] not in known:  # an object that is not there, or a collection without any
            empty = (len(parts) in (3, 5) and parts[0] == "api") or (len(parts) in (4, 6) and parts[0] == "apis")
            return (
                self.send(handler, 200, {"items": []}) if empty else self.send(handler, 404, failure(404, f"{path} not found"))
            )
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts[:-1] else ""
        items = [
            obj for its, obj in self.objects.items()
            if its.startswith(f"/{group}/") and its.split("/")[-2] == parts[-1]
            and namespace in ("", obj["metadata"].get("namespace"))
            and _selected(obj.get("metadata", {}).get("labels") or {}, query.get("labelSelector", ""))
            and all(_field(obj, name) == value for name, value in _pairs(query.get("fieldSelector", "")))
        ]  # fmt: skip
        return self.send(handler, 200, {"kind": "List", "items": items, "metadata": {}})

    def _create(self, handler: BaseHTTPRequestHandler, query: dict[str, str], body: bytes) -> None:
        if query.get("dryRun") != "All":
            self.complaints.append(f"POST without a dry run: {handler.path}")
        if self.admission:
            return self.send(handler, self.admission[0], failure(*self.admission))
        return self.send(handler, 201, json.loads(body))


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
