"""Objects of a namespace: found, applied, deleted; who owns them."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from slipway.deploy import manifest, route
from slipway.deploy.kube import APPLY, Kube, path
from slipway.deploy.pod import MANAGED_BY, OURS
from slipway.errors import ClusterError, ConflictError

FIELD_MANAGER = "slipway"
KINDS = {
    "InferenceService": (manifest.API_VERSION, "inferenceservices"),
    "HTTPRoute": (route.API_VERSION, "httproutes"),
    "Deployment": ("apps/v1", "deployments"),
    "Secret": ("v1", "secrets"),
    "ServiceAccount": ("v1", "serviceaccounts"),
}
"""Kind -> API version and plural."""
MISSING = {
    "InferenceService": "; is KServe installed, and does the namespace exist?",
    "HTTPRoute": "; is the Gateway API installed, and does the namespace exist?",
}
HELM_RELEASE = "meta.helm.sh/release-name"


def find(kube: Kube, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
    """The object; None when there is none, or its kind is unknown here. Raises: ClusterError: no answer, or a refusal."""
    return kube.find(_path(kind, namespace, name))


def apply(kube: Kube, wanted: Mapping[str, Any], *, manager: str = FIELD_MANAGER) -> dict[str, Any]:
    """Server-side apply: what we applied before and is no longer in `wanted` goes, what others set stays.

    Where `metadata.resourceVersion` is given, only onto the object as it was then.

    Args:
        manager: owner of the fields.
    Returns: the object as it is now.
    Raises: ClusterError: no answer, or a refusal (status 409: it was changed since).
    """
    kind, meta = wanted["kind"], wanted["metadata"]
    return kube.call(
        "PATCH",
        _path(kind, meta["namespace"], meta["name"]),
        f"{kind} {meta['namespace']}/{meta['name']}",
        query={"fieldManager": manager, "force": "true"},
        body=wanted,
        content_type=APPLY,
        hints={404: MISSING.get(kind, "")},
    )


def delete(
    kube: Kube,
    kind: str,
    namespace: str,
    name: str,
    *,
    timeout_s: float,
    poll_s: float = 1,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Delete an object and wait until it is gone; nothing to do where it is gone already.

    Raises: ClusterError: no answer, a refusal, or still there after `timeout_s`.
    """
    where = _path(kind, namespace, name)
    try:
        kube.call("DELETE", where, f"{kind} {namespace}/{name}")
    except ClusterError as exc:
        if exc.status == 404:
            return
        raise
    deadline = time.monotonic() + timeout_s
    while kube.find(where) is not None:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{kind} {namespace}/{name}: still there {timeout_s:.0f} s after its deletion; is its controller up?"
            )
        sleep(poll_s)


def must_be_ours(found: Mapping[str, Any] | None) -> None:
    """Raises: ConflictError: the object belongs to somebody else: a Helm release, or whoever made it."""
    if found is None:
        return
    meta = found["metadata"]
    owner = (meta.get("labels") or {}).get(MANAGED_BY, "")
    if owner == OURS:
        return
    what = f"{found.get('kind', 'object')} {meta['namespace']}/{meta['name']}"
    if release := (meta.get("annotations") or {}).get(HELM_RELEASE, ""):
        raise ConflictError(f"{what}: belongs to the Helm release '{release}'; change its values and upgrade it")
    said = f"its label {MANAGED_BY} is '{owner}'" if owner else f"it has no label {MANAGED_BY}"
    raise ConflictError(f"{what}: was not made by slipway ({said}); delete it, or choose another name for the model")


def _path(kind: str, namespace: str, name: str) -> str:
    version, plural = KINDS[kind]
    return path(version, namespace, plural, name)
