"""The InferenceService of a release, as plain data: no client, no cluster, the same every time."""

import re
from typing import Any

from slipway.errors import ConfigError

API_VERSION = "serving.kserve.io/v1beta1"
RUNTIME = "slipway-serve"
"""Name of the ServingRuntime in serving/servingruntime.yaml."""
PORT = 8080
DRAIN_DELAY_S = 5
"""Between a pod's removal from its Service and SIGTERM: endpoints take about that long to reach every proxy."""
GRACE_S = 45
"""DRAIN_DELAY_S, the server's 30 s for requests in flight, and some."""
STARTUP_S = 300
"""For loading and self-testing the model; the download comes before, in an init container."""
NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
"""A DNS label; KServe adds `-predictor` and suffixes, of which 63 characters must be enough."""


def inference_service(
    *,
    name: str,
    release_uri: str,
    namespace: str,
    digest: str,
    version: str = "",
    service_account: str = "slipway-models",
    runtime: str = RUNTIME,
    image: str = "",
    cpu: str = "500m",
    memory: str = "1Gi",
    min_replicas: int = 1,
    max_replicas: int = 3,
) -> dict[str, Any]:
    """The object to apply.

    Args:
        release_uri: the immutable prefix of the release in the store, s3://… or pvc://….
        digest: SHA-256 hex of the release.
        version: of the registry; empty means the server takes the start of the digest.
        service_account: carries the store's secret.
        image: the server's, by digest; empty means the runtime's own.
        cpu: request; there is no limit, since throttled inference misses its latency for nothing.
        memory: request and limit.
    Raises: ConfigError: a name Kubernetes or KServe would refuse, or a release that pods cannot reach.
    """
    for what, value in (("model name", name), ("namespace", namespace)):
        if not NAME.fullmatch(value):
            raise ConfigError(f"{what}: '{value}' must be 1 to 40 lower-case letters, digits and '-', starting with a letter")
    scheme = release_uri.partition("://")[0] if "://" in release_uri else "a local path"
    if scheme not in ("s3", "pvc"):
        raise ConfigError(
            f"{release_uri}: is {scheme}, pods need s3:// or pvc://; set SLIPWAY_STORE=s3://bucket/prefix and register again"
        )
    ready = f"/v2/models/{name}/ready"
    container: dict[str, Any] = {
        "modelFormat": {"name": "slipway", "version": "1"},
        "protocolVersion": "v2",
        "runtime": runtime,
        "storageUri": release_uri,
        "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}},
        "startupProbe": _probe(ready, period_s=2, timeout_s=2, failures=STARTUP_S // 2),
        "readinessProbe": _probe(ready, period_s=5, timeout_s=2, failures=2),
        "livenessProbe": _probe("/v2/health/live", period_s=10, timeout_s=5, failures=3),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(DRAIN_DELAY_S)]}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if version:
        container["args"] = [f"--model-version={version}"]  # KServe appends them to the runtime's
    if image:
        container["image"] = image
    labels = {"app.kubernetes.io/managed-by": "slipway", "slipway.model": name, "slipway.digest": digest[:12]}
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {**labels, "slipway.version": version or digest[:12]},
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "serving.kserve.io/enable-prometheus-scraping": "true",
                "slipway/release-digest": digest,
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": min_replicas,
                "maxReplicas": max_replicas,
                "serviceAccountName": service_account,
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": GRACE_S,
                "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                "model": container,
            }
        },
    }


def _probe(path: str, *, period_s: int, timeout_s: int, failures: int) -> dict[str, Any]:
    get = {"path": path, "port": PORT}
    return {"httpGet": get, "periodSeconds": period_s, "timeoutSeconds": timeout_s, "failureThreshold": failures}
