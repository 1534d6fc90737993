"""Apply an InferenceService and wait until it is Ready; the reason when it is not."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from slipway.errors import ClusterError

FIELD_MANAGER = "slipway"
HOPELESS = ("InvalidSpec", "BlockedByFailedLoad")
"""Transition states of a model that waiting does not cure."""
REQUEST_TIMEOUT_S = 30


def apply_and_wait(
    service: Mapping[str, Any],
    *,
    timeout_s: float = 600,
    poll_s: float = 1,
    context: str = "",
    progress: Callable[[str], None] | None = None,
) -> str:
    """Server-side apply `service` (see `manifest.inference_service`) and wait until this very version of it is Ready.

    Uses the pod's service account inside a cluster, the kubeconfig elsewhere.

    Args:
        timeout_s: of the whole wait.
        context: of the kubeconfig; empty means its current one.
        progress: told each new state, one line.
    Returns: the URL under which other pods reach the service.
    Raises: ClusterError: no cluster, not reachable, refused, or not Ready in time; the message has the first failing condition.
    """
    client = _client(context)
    meta = service["metadata"]
    where = f"{meta['namespace']}/{meta['name']}"
    group = service["apiVersion"]
    path = f"/apis/{group}/namespaces/{meta['namespace']}/inferenceservices/{meta['name']}"
    query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
    current = _call(client, "PATCH", path, where, query=query, body=service)
    deadline = time.monotonic() + timeout_s
    told = ""
    while True:
        state, reason = _state(current)
        if state == "ready":
            return reason
        if progress is not None and reason != told:
            progress(f"{where}: {reason}")
            told = reason
        if state == "failed":
            raise ClusterError(f"InferenceService {where} failed: {reason}; see kubectl describe inferenceservice")
        if time.monotonic() > deadline:
            raise ClusterError(f"InferenceService {where} not Ready after {timeout_s:.0f} s: {reason}")
        time.sleep(poll_s)
        current = _call(client, "GET", path, where)


def _client(context: str) -> Any:
    from kubernetes import client, config
    from kubernetes.config.config_exception import ConfigException

    configuration = client.Configuration()
    try:
        try:
            if context:
                raise ConfigException("a context was asked for")
            config.load_incluster_config(configuration)
        except ConfigException:
            config.load_kube_config(context=context or None, client_configuration=configuration)
    except (ConfigException, OSError) as exc:
        raise ClusterError(f"no cluster: neither inside a pod nor a usable kubeconfig ({_line(exc)}); set KUBECONFIG") from exc
    configuration.retries = 2
    return client.ApiClient(configuration)


def _call(client: Any, method: str, path: str, where: str, *, query: Any = (), body: Any = None) -> dict[str, Any]:
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    headers = {"Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/apply-patch+yaml"
    host = client.configuration.host
    try:
        answer = client.call_api(
            path,
            method,
            query_params=list(query),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
            response_type="object",
            _return_http_data_only=True,
            _request_timeout=REQUEST_TIMEOUT_S,
        )
    except ApiException as exc:
        raise ClusterError(f"{host}: {method} InferenceService {where} refused: {exc.status} {_message(exc)}") from exc
    except HTTPError as exc:
        raise ClusterError(f"{host}: the cluster does not answer ({_line(exc)}); is it up, and KUBECONFIG right?") from exc
    return dict(answer)


def _message(exc: Any) -> str:
    """What the API server said, and what to do about the usual ones."""
    import json

    try:
        said = json.loads(exc.body)["message"]
    except (TypeError, ValueError, KeyError):
        said = exc.reason
    hints = {
        401: "; log in again",
        403: "; this account may not do that there",
        404: "; is KServe installed, and does the namespace exist?",
    }
    return " ".join(str(said).split()) + hints.get(exc.status, "")


def _state(current: Mapping[str, Any]) -> tuple[str, str]:
    """(`ready`, URL), (`failed`, reason) or (`waiting`, reason)."""
    status = current.get("status") or {}
    if status.get("observedGeneration", -1) < current["metadata"].get("generation", 0):
        return "waiting", "the controller has not looked at it yet"
    conditions = {c["type"]: c for c in status.get("conditions") or []}
    if conditions.get("Ready", {}).get("status") == "True":
        url = (status.get("address") or {}).get("url") or status.get("url")
        return ("ready", url) if url else ("waiting", "Ready, but without a URL yet")
    model = status.get("modelStatus") or {}
    failure = model.get("lastFailureInfo") or {}
    if model.get("transitionStatus") in HOPELESS:
        return "failed", f"{model['transitionStatus']}: {failure.get('reason', '')} {failure.get('message', '')}".strip()
    failing = next((c for c in conditions.values() if c.get("status") == "False" and c["type"] != "Ready"), None)
    failing = failing or conditions.get("Ready")
    if failing is None:
        return "waiting", "no condition reported yet"
    said = "; ".join(p for p in (failing.get("reason"), failing.get("message"), failure.get("message")) if p)
    return "waiting", " ".join(f"{failing['type']} is {failing['status']}: {said or 'no reason given'}".split())


def _line(exc: BaseException) -> str:
    return " ".join(str(exc).split())[:300]
