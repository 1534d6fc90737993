"""Kubernetes objects as the links read them: paths, conditions, events."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from slipway.deploy.kube import Kube

Object = Mapping[str, Any]
ROUTES = "gateway.networking.k8s.io/v1"
SERVING = "serving.kserve.io/v1beta1"
TEAM = "slipway-run"
"""ConfigMap by which a team's namespace is known."""


def path(group: str, namespace: str, plural: str, name: str = "") -> str:
    """Of an object or a collection; `group` is such as `v1` or `apps/v1`; no namespace means all of them, or none."""
    root = f"/apis/{group}" if "/" in group else f"/api/{group}"
    return root + (f"/namespaces/{namespace}" if namespace else "") + f"/{plural}" + (f"/{name}" if name else "")


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


def age_s(obj: Object) -> float:
    """Seconds since the object was made, by this machine's clock."""
    made = datetime.fromisoformat(str(obj["metadata"]["creationTimestamp"]))
    return (datetime.now(UTC) - made).total_seconds()


def listed(names: Iterable[str], *, at_most: int = 5) -> str:
    """Some names for a line; `none` for none."""
    known = sorted(names)
    return ", ".join(known[:at_most]) + (f" and {len(known) - at_most} more" if len(known) > at_most else "") or "none"


def _when(event: Object) -> str:
    return str(event.get("eventTime") or event.get("lastTimestamp") or event["metadata"].get("creationTimestamp") or "")
