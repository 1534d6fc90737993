"""The one door to a cluster's API: objects as plain data, refusals as one line."""

import json
from collections.abc import Mapping
from typing import Any

from slipway.errors import ClusterError

REQUEST_TIMEOUT_S = 30
PAGE_ITEMS = 500
APPLY = "application/apply-patch+yaml"
JSON = "application/json"
Lines = list[str]  # in the class below, `list` is a method
HINTS = {401: "; log in again", 403: "; this account may not do that there"}


def path(version: str, namespace: str, plural: str, name: str = "") -> str:
    """The API's path of an object, or of a collection; no namespace means all of them, or none.

    Args:
        version: of the API, such as `v1` or `apps/v1`.
    """
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return root + (f"/namespaces/{namespace}" if namespace else "") + f"/{plural}" + (f"/{name}" if name else "")


class Kube:
    """A cluster as one account sees it. Paths are the API's own, see `path`."""

    def __init__(self, context: str = "") -> None:
        """Of the pod's service account inside a cluster, of the kubeconfig elsewhere; nothing is sent yet.

        Args:
            context: of the kubeconfig; empty means its current one.
        Raises: ClusterError: neither a pod nor a usable kubeconfig.
        """
        self.client, self.namespace, self.inside = _client(context)
        self.host = str(self.client.configuration.host)

    def call(
        self,
        method: str,
        path: str,
        what: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
        hints: Mapping[int, str] | None = None,
    ) -> dict[str, Any]:
        """One request, and its answer.

        Args:
            what: names the object in errors; empty means the path.
            hints: HTTP status -> what to do, for the error's line; over HINTS.
        Raises: ClusterError: no answer, or a refusal, whose HTTP status is in `status`.
        """
        return dict(self._send(method, path, what or path, query, body, content_type, {**HINTS, **(hints or {})}))

    def find(self, path: str) -> dict[str, Any] | None:
        """The object at `path`; None when there is none. Raises: ClusterError: no answer, or a refusal."""
        try:
            return self.call("GET", path)
        except ClusterError as exc:
            if exc.status == 404:
                return None
            raise

    def list(self, path: str, *, labels: str = "", fields: str = "") -> list[dict[str, Any]]:
        """Every object of a collection, page by page; none where the API does not know its kind.

        Args:
            labels, fields: selectors, as kubectl takes them.
        Raises: ClusterError: no answer, or a refusal.
        """
        query = {k: v for k, v in (("labelSelector", labels), ("fieldSelector", fields)) if v} | {"limit": str(PAGE_ITEMS)}
        found: list[dict[str, Any]] = []
        while True:
            try:
                answer = self.call("GET", path, query=query)
            except ClusterError as exc:
                if exc.status == 404:
                    return found
                raise
            found += answer.get("items") or []
            if not (more := (answer.get("metadata") or {}).get("continue")):
                return found
            query["continue"] = more

    def log(self, namespace: str, pod: str, container: str, *, previous: bool = False, lines: int = 20) -> Lines:
        """Last lines a container wrote, the last one last; none where the node has kept none.

        Args:
            previous: of the container before its last restart.
        """
        query = {"container": container, "tailLines": str(lines), **({"previous": "true"} if previous else {})}
        where = f"{path('v1', namespace, 'pods', pod)}/log"
        try:
            text = self._send("GET", where, where, query, None, JSON, HINTS, raw=True)
        except ClusterError as exc:
            if exc.status in (400, 404):  # not started yet, or no longer kept
                return []
            raise
        return [line for line in text.data.decode(errors="replace").splitlines() if line.strip()]

    def _send(
        self,
        method: str,
        path: str,
        what: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        content_type: str,
        hints: Mapping[int, str],
        *,
        raw: bool = False,
    ) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "*/*" if raw else JSON}
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            return self.client.call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                response_type="object",
                _return_http_data_only=True,
                _preload_content=not raw,  # a log of one line of JSON would come as an object
                _request_timeout=REQUEST_TIMEOUT_S,
            )
        except ApiException as exc:
            refused = ClusterError(
                f"{self.host}: {method} {what} refused: {exc.status} {_said(exc)}{hints.get(exc.status, '')}"
            )
            refused.status, refused.said = int(exc.status or 0), _said(exc)
            raise refused from exc
        except HTTPError as exc:
            raise ClusterError(
                f"{self.host}: the cluster does not answer ({_line(exc)}); is it up, and KUBECONFIG right?"
            ) from exc


def amount(quantity: str) -> float:
    """A quantity such as 500m or 2Gi as a number of cores or bytes."""
    from kubernetes.utils import parse_quantity

    return float(parse_quantity(quantity))


def _client(context: str) -> tuple[Any, str, bool]:
    """A client, the namespace that the pod or the context is in, and whether this is a pod of the cluster."""
    from pathlib import Path

    try:
        from kubernetes import client, config
        from kubernetes.config.config_exception import ConfigException
    except ImportError as exc:
        raise ClusterError(f"kubernetes cannot be imported ({exc}); install slipway[cluster]") from exc

    configuration = client.Configuration()
    namespace, inside = "", False
    try:
        try:
            if context:
                raise ConfigException("a context was asked for")
            config.load_incluster_config(configuration)
            inside = True
            namespace = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text(encoding="utf-8").strip()
        except ConfigException:
            config.load_kube_config(context=context or None, client_configuration=configuration)
            contexts, current = config.list_kube_config_contexts()
            chosen = next((c for c in contexts if c["name"] == context), current) or {}
            namespace = chosen.get("context", {}).get("namespace", "")
    except (ConfigException, OSError) as exc:
        raise ClusterError(f"no cluster: neither inside a pod nor a usable kubeconfig ({_line(exc)}); set KUBECONFIG") from exc
    configuration.retries = 2
    return client.ApiClient(configuration), namespace or "default", inside


def _said(exc: Any) -> str:
    """What the API server said, in one line."""
    try:
        said = json.loads(exc.body)["message"]
    except (TypeError, ValueError, KeyError):
        said = exc.reason
    return " ".join(str(said).split())


def _line(exc: BaseException) -> str:
    return " ".join(str(exc).split())[:300]
