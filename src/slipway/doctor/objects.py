"""Kubernetes objects as the links read them: annotations, conditions, events, addresses."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from slipway.deploy import manifest, route
from slipway.deploy.kube import Kube, path

Object = Mapping[str, Any]
SERVING, ROUTES = manifest.API_VERSION, route.API_VERSION
RUNTIMES = "serving.kserve.io/v1alpha1"
"""KServe's version of runtimes and of containers that fetch models."""


def annotations(obj: Object | None) -> Mapping[str, str]:
    """Its annotations; none of no object."""
    return _metadata(obj, "annotations")


def labels(obj: Object | None) -> Mapping[str, str]:
    """Its labels; none of no object."""
    return _metadata(obj, "labels")


def name_of(obj: Object) -> str:
    """namespace/name."""
    meta = obj["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if meta.get("namespace") else str(meta["name"])


def condition(obj: Object, kind: str) -> Mapping[str, str]:
    """The condition of that type; empty when the object has none."""
    found = (c for c in (obj.get("status") or {}).get("conditions") or [] if c["type"] == kind)
    return next(found, {})


def said_of(entry: Mapping[str, Any]) -> str:
    """Reason and message of a condition or a container's state."""
    return ": ".join(str(entry[key]) for key in ("reason", "message") if entry.get(key)) or "no reason given"


def events(kube: Kube, namespace: str, name: str, *, reasons: Sequence[str] = ()) -> list[str]:
    """Messages of an object's events, the latest last; `reasons`: only of these."""
    found = kube.list(path("v1", namespace, "events"), fields=f"involvedObject.name={name}")
    wanted = [e for e in found if not reasons or e.get("reason") in reasons]
    return [str(e.get("message") or "") for e in sorted(wanted, key=_when)]


def ready_ends(kube: Kube, namespace: str, service: str) -> tuple[int, int]:
    """Addresses behind a Service: how many are ready, of how many."""
    slices = kube.list(path("discovery.k8s.io/v1", namespace, "endpointslices"), labels=f"kubernetes.io/service-name={service}")
    ends = [end for part in slices for end in part.get("endpoints") or []]
    return sum(end.get("conditions", {}).get("ready") is not False for end in ends), len(ends)


def age_s(obj: Object) -> float:
    """Seconds since the object was made, by this machine's clock."""
    made = datetime.fromisoformat(str(obj["metadata"]["creationTimestamp"]))
    return (datetime.now(UTC) - made).total_seconds()


def listed(names: Iterable[str], *, at_most: int = 5) -> str:
    """Some names for a line; `none` for none."""
    known = sorted(names)
    return ", ".join(known[:at_most]) + (f" and {len(known) - at_most} more" if len(known) > at_most else "") or "none"


def _metadata(obj: Object | None, key: str) -> Mapping[str, str]:
    return (obj or {}).get("metadata", {}).get(key) or {}


def _when(event: Object) -> str:
    return str(event.get("eventTime") or event.get("lastTimestamp") or event["metadata"].get("creationTimestamp") or "")
