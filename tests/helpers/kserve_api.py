"""A small Kubernetes API server for tests: InferenceServices, HTTPRoutes and what their controllers make.

It checks every request against what the real one demands (server-side apply's content type and parameters, names that
agree, resource versions), and plays a script of states of InferenceServices: one more step of it at every GET.
"""

from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs

import yaml

from tests.helpers.kube_server import KubeServer, failure, status

KINDS = {
    "inferenceservices": ("serving.kserve.io/v1beta1", "InferenceService"),
    "httproutes": ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    "deployments": ("apps/v1", "Deployment"),
    "serviceaccounts": ("v1", "ServiceAccount"),
}


class KServeApi(KubeServer):
    """`with KServeApi([state, …]) as api:`; a state is an InferenceService's `status`, the last one stays; without any, every
    InferenceService is Ready at once.
    """

    def __init__(
        self,
        states: Sequence[dict[str, Any]] = (),
        *,
        refuse: tuple[int, str] | None = None,
        rolling: int = 0,
        gateway: bool = True,
    ) -> None:
        """
        Args:
            refuse: status and message of the answer to every request instead.
            rolling: at how many GETs a Deployment is still that of the release before.
            gateway: whether one takes up routes.
        """
        super().__init__(refuse=refuse)
        self.states, self.rolling, self.gateway = list(states), rolling, gateway
        self._versions = 0
        self._lag: dict[str, int] = {}

    def respond(self, handler: BaseHTTPRequestHandler, path: str, query: str, body: bytes | None) -> None:
        *_, plural, _name = path.split("/")
        if plural not in KINDS:
            return self.send(handler, 404, failure(404, "the server could not find the requested resource"))
        if body is not None and (conflict := self._apply(handler, path, parse_qs(query), body)):
            return self.send(handler, 409, failure(409, conflict))
        current = self._deployment(path) if plural == "deployments" else self.objects.get(path)
        if current is None:
            return self.send(handler, 404, failure(404, "not found"))
        if handler.command == "DELETE":
            del self.objects[path]
        elif plural == "inferenceservices" and body is None:
            self._look_at(current)
        elif plural == "httproutes" and self.gateway:
            generation = current["metadata"]["generation"]
            accepted = {"type": "Accepted", "status": "True", "observedGeneration": generation}
            current["status"] = {"parents": [{"conditions": [accepted]}]}
        return self.send(handler, 200, current)

    def put(self, kind: str, namespace: str, name: str, **more: Any) -> None:
        """An object that is there already; `more` are its fields beside the metadata."""
        plural = next(plural for plural, (_, k) in KINDS.items() if k == kind)
        version = KINDS[plural][0]
        path = f"/{'apis' if '/' in version else 'api'}/{version}/namespaces/{namespace}/{plural}/{name}"
        metadata = {"name": name, "namespace": namespace, "generation": 1, "resourceVersion": "0"} | more.pop("metadata", {})
        self.objects[path] = {"kind": kind, "apiVersion": version, "metadata": metadata, **more}

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """The object of that name in any namespace."""
        return next((o for o in self.objects.values() if o["kind"] == kind and o["metadata"]["name"] == name), None)

    def _look_at(self, service: dict[str, Any]) -> None:
        """What KServe's controller does."""
        if self.states:
            service["status"] = self.states[0] if len(self.states) == 1 else self.states.pop(0)
            return
        meta = service["metadata"]
        url = f"http://{meta['name']}-predictor.{meta['namespace']}.svc.cluster.local"
        service["status"] = status(("Ready", "True", "", ""), generation=meta["generation"], url=url)

    def _deployment(self, path: str) -> dict[str, Any] | None:
        """The one that KServe made of an InferenceService: of its labels, as soon as it is no longer rolling."""
        *_, namespace, _plural, name = path.split("/")
        service = self.get("InferenceService", name.removesuffix("-predictor"))
        if service is None:
            return None
        self._lag[path] = self._lag.get(path, self.rolling) - 1
        new = self._lag[path] < 0
        labels = dict(service["metadata"]["labels"])
        replicas = service["spec"]["predictor"]["minReplicas"]
        return {
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace, "generation": 1},
            "spec": {"replicas": replicas, "template": {"metadata": {"labels": labels if new else {}}}},
            "status": {"observedGeneration": 1} | dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), replicas),
        }

    def _apply(self, handler: BaseHTTPRequestHandler, path: str, query: dict[str, list[str]], body: bytes) -> str:
        """Applies; returns why not, where the object was changed since."""
        applied = yaml.safe_load(body)
        *_, namespace, plural, name = path.split("/")
        version, kind = KINDS.get(plural, ("", ""))
        expectations = {
            "content type": (handler.headers.get("Content-Type"), "application/apply-patch+yaml"),
            "fieldManager": (query.get("fieldManager"), ["slipway"]),
            "force": (query.get("force"), ["true"]),
            "apiVersion": (applied.get("apiVersion"), version),
            "kind": (applied.get("kind"), kind),
            "name": (applied["metadata"].get("name"), name),
            "namespace": (applied["metadata"].get("namespace"), namespace),
            "managedFields": (applied["metadata"].get("managedFields"), None),
            "status": (applied.get("status"), None),
        }
        self.complaints += [f"{what}: got {got!r}, want {want!r}" for what, (got, want) in expectations.items() if got != want]
        before = self.objects.get(path)
        expected = applied["metadata"].pop("resourceVersion", None)
        if expected is not None and (before is None or before["metadata"]["resourceVersion"] != expected):
            return "the object has been modified; please apply your changes to the latest version"
        changed = before is None or before["spec"] != applied["spec"]
        generation = (before["metadata"]["generation"] if before else 0) + changed
        if plural == "inferenceservices" and changed and before is not None:
            self._lag[f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}-predictor"] = self.rolling
        self._versions += 1
        meta = {**applied["metadata"], "generation": generation, "resourceVersion": str(self._versions)}
        self.objects[path] = {
            **applied,
            "metadata": meta,
            **({"status": before["status"]} if before and "status" in before else {}),
        }
        return ""
