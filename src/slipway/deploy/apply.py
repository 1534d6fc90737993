"""Apply an InferenceService and wait until it is Ready; the reason when it is not."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from slipway.deploy.kube import APPLY, Kube
from slipway.errors import ClusterError

FIELD_MANAGER = "slipway"
HOPELESS = ("InvalidSpec", "BlockedByFailedLoad")
"""Transition states of a model that waiting does not cure."""
MISSING = {404: "; is KServe installed, and does the namespace exist?"}


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
    kube = Kube(context)
    meta = service["metadata"]
    where = f"{meta['namespace']}/{meta['name']}"
    group = service["apiVersion"]
    path = f"/apis/{group}/namespaces/{meta['namespace']}/inferenceservices/{meta['name']}"
    query = {"fieldManager": FIELD_MANAGER, "force": "true"}
    what = f"InferenceService {where}"
    current = kube.call("PATCH", path, what, query=query, body=service, content_type=APPLY, hints=MISSING)
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
        current = kube.call("GET", path, what, hints=MISSING)


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
