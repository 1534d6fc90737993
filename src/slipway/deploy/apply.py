"""Apply an InferenceService and wait until all of its pods serve it; the reason when they do not."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from slipway.deploy import objects
from slipway.deploy.kube import Kube
from slipway.deploy.manifest import DIGEST, VERSION, predictor
from slipway.errors import ClusterError

HOPELESS = ("InvalidSpec", "BlockedByFailedLoad")
"""Transition states of a model that waiting does not cure."""
LOGGED = re.compile(r"^\S+ \S+ \d+ \S+ [A-Z]+ \[[^\]]*\] ")
"""What KServe's storage initializer puts before each line."""
PATIENCE_S = 15.0
"""How long such a state must be seen: right after an apply it may still be that of the pods before."""


def apply_and_wait(
    service: Mapping[str, Any],
    *,
    kube: Kube | None = None,
    timeout_s: float = 600,
    poll_s: float = 1,
    patience_s: float = PATIENCE_S,
    progress: Callable[[str], None] | None = None,
) -> str:
    """Server-side apply `service` (see `manifest.inference_service`) and wait until this very version of it serves.

    KServe says Ready as long as the pods before serve; so the Deployment is looked at, too.

    Args:
        kube: None: of the pod's service account inside a cluster, of the kubeconfig elsewhere.
        timeout_s: of the whole wait.
        patience_s: how long a failed load must be seen to count.
        progress: told each new state, one line.
    Returns: the URL under which other pods reach the service.
    Raises: ClusterError: no cluster, not reachable, refused, or not Ready in time; the message has the first failing condition.
    """
    kube = kube or Kube()
    current = objects.apply(kube, service)
    meta = service["metadata"]
    where = f"{meta['namespace']}/{meta['name']}"
    deadline = time.monotonic() + timeout_s
    told, failing_since = "", None
    while True:
        state, reason = state_of(kube, current)
        if state == "ready":
            return reason
        now = time.monotonic()
        if progress is not None and reason != told:
            progress(f"{where}: {reason}")
            told = reason
        failing_since = (failing_since or now) if state == "failed" else None
        if failing_since is not None and now - failing_since >= patience_s:
            raise ClusterError(
                f"InferenceService {where} failed: {reason}; see slipway doctor, or kubectl describe inferenceservice"
            )
        if now > deadline:
            raise ClusterError(f"InferenceService {where} not Ready after {timeout_s:.0f} s: {reason}")
        time.sleep(poll_s)
        found = objects.find(kube, "InferenceService", meta["namespace"], meta["name"])
        if found is None:
            raise ClusterError(f"InferenceService {where}: was deleted while it was waited for")
        current = found


def state_of(kube: Kube, service: Mapping[str, Any]) -> tuple[str, str]:
    """(`ready`, URL), (`failed`, reason) or (`waiting`, reason) of an InferenceService that was just read, and its pods."""
    state, reason = _conditions(service)
    if state != "ready":
        return state, reason
    meta = service["metadata"]
    deployment = objects.find(kube, "Deployment", meta["namespace"], predictor(meta["name"]))
    if left := _unfinished(deployment, meta["labels"]):
        model = (service.get("status") or {}).get("modelStatus") or {}
        if model.get("transitionStatus") in HOPELESS:
            return "failed", _failure(model)
        return "waiting", left
    return state, reason


def _unfinished(deployment: Mapping[str, Any] | None, labels: Mapping[str, str]) -> str:
    """What is still to happen before every pod is of the service's release; empty when nothing is."""
    if deployment is None:
        return "no Deployment yet"
    spec, status = deployment["spec"], deployment.get("status") or {}
    made_of = (spec["template"]["metadata"].get("labels") or {}) if "template" in spec else {}
    if any(made_of.get(key) != labels.get(key) for key in (DIGEST, VERSION)):
        return "its Deployment is not updated yet"
    wanted = spec.get("replicas", 1)
    new, ready, all_ = (status.get(key) or 0 for key in ("updatedReplicas", "availableReplicas", "replicas"))
    if status.get("observedGeneration", -1) < deployment["metadata"].get("generation", 0) or new < wanted:
        return f"{new} of {wanted} pods are new"
    if all_ > new:
        return f"{all_ - new} of the pods before are still there"
    if ready < new:
        return f"{ready} of {new} new pods are ready"
    return ""


def _conditions(current: Mapping[str, Any]) -> tuple[str, str]:
    """What the InferenceService's own status says."""
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
        return "failed", _failure(model)
    failing = next((c for c in conditions.values() if c.get("status") == "False" and c["type"] != "Ready"), None)
    failing = failing or conditions.get("Ready")
    if failing is None:
        return "waiting", "no condition reported yet"
    said = "; ".join(p for p in (failing.get("reason"), failing.get("message"), _last_line(failure)) if p)
    return "waiting", " ".join(f"{failing['type']} is {failing['status']}: {said or 'no reason given'}".split())


def _failure(model: Mapping[str, Any]) -> str:
    failure = model.get("lastFailureInfo") or {}
    return " ".join(f"{model['transitionStatus']}: {failure.get('reason', '')} {_last_line(failure)}".split())


def _last_line(failure: Mapping[str, Any]) -> str:
    """Of the container's log, which KServe gives as the message: what it ended with, without the time and place."""
    lines = [line for line in str(failure.get("message", "")).splitlines() if line.strip()]
    return LOGGED.sub("", lines[-1]) if lines else ""
