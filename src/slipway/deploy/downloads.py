"""KServe's init container that fetches a model: it says nothing of its rights, and restricted namespaces refuse its pods."""

from collections.abc import Mapping
from typing import Any

from slipway.deploy.pod import container_security, pod_security

STORAGE = "default"
"""KServe's own ClusterStorageContainer, which describes that container."""
RESTRICTED: Mapping[str, Any] = {"spec": {"container": {"securityContext": {**container_security(), **pod_security()}}}}
"""What to merge into it. All that Pod Security `restricted` asks for, as the pods of others' services may say nothing of it."""


def admitted(storage: Mapping[str, Any]) -> bool:
    """Whether restricted namespaces admit the container in pods of ours, which give up the rest of their rights themselves."""
    security = storage["spec"]["container"].get("securityContext") or {}
    dropped = (security.get("capabilities") or {}).get("drop") or []
    return security.get("allowPrivilegeEscalation") is False and "ALL" in dropped
