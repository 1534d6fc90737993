"""The InferenceService of a release, as plain data: no client, no cluster, the same every time."""

import re
from typing import Any, Literal

from slipway.deploy.pod import MANAGED_BY, OURS, PART_OF, container_security, pod_security
from slipway.errors import ConfigError

API_VERSION = "serving.kserve.io/v1beta1"
RUNTIME = "slipway-serve"
"""Name of the ServingRuntime, which charts/slipway-models owns."""
PORT = 8080
HTTP_PORT, GRPC_PORT = 80, 8081
"""Of the predictor's Service, which KServe makes from the runtime's ports: the first becomes 80, the others stay."""
SERVICE_ACCOUNT = "slipway-models"
"""Reads every model of its team; see also `own_account`."""
MODEL, ROLE, VERSION, DIGEST = "slipway.model", "slipway.role", "slipway.version", "slipway.digest"
"""Labels of an InferenceService, which its pods carry, too. The runtime serves under the name that MODEL says."""
RELEASE_DIGEST = "slipway/release-digest"
"""Annotation: the whole of it, which is too long for a label."""
Role = Literal["stable", "canary"]
DRAIN_DELAY_S = 5
"""Between a pod's removal from its Service and SIGTERM: endpoints take about that long to reach every proxy."""
GRACE_S = 45
"""DRAIN_DELAY_S, the server's 30 s for requests in flight, and some."""
STARTUP_S = 300
"""For loading and self-testing the model; the download comes before, in an init container."""
SPREAD = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
"""What pods of a service are spread over."""
NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
"""A DNS label."""
HOST_CHARACTERS = 63
"""Of KServe's host names' first label, `<name>-canary-predictor-<namespace>`; longer ones stop its reconciliation."""


def inference_service(
    *,
    name: str,
    release_uri: str,
    namespace: str,
    digest: str,
    version: str = "",
    role: Role = "stable",
    service_account: str = SERVICE_ACCOUNT,
    runtime: str = RUNTIME,
    image: str = "",
    cpu: str = "500m",
    memory: str = "1Gi",
    min_replicas: int = 1,
    max_replicas: int = 3,
    scale_target: int = 80,
) -> dict[str, Any]:
    """The object to apply.

    Its labels and annotations become those of its pods, so that a change of any of them restarts these: nothing that moves
    by itself belongs there.

    Args:
        name: of the model; a canary's object is called `<name>-canary` and serves under the model's name all the same.
        release_uri: the immutable prefix of the release in the store, s3://… or pvc://….
        digest: SHA-256 hex of the release.
        version: of the registry; empty means the server takes the start of the digest.
        service_account: carries the store's secret.
        image: the server's, by digest; empty means the runtime's own.
        cpu: request; there is no limit, since throttled inference misses its latency for nothing.
        memory: request and limit.
        scale_target: percent of the CPU request at which another pod comes.
    Raises: ConfigError: a name Kubernetes or KServe would refuse, or a release that pods cannot reach.
    """
    check_names(name, namespace)
    scheme = release_uri.partition("://")[0] if "://" in release_uri else "a local path"
    if scheme not in ("s3", "pvc"):
        raise ConfigError(
            f"{release_uri}: is {scheme}, pods need s3:// or pvc://; set SLIPWAY_STORE=s3://bucket/prefix and register again"
        )
    called = object_name(name, role)
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
        "securityContext": {**container_security(), "readOnlyRootFilesystem": True, **pod_security()},
    }
    if version:
        container["args"] = [f"--model-version={version}"]  # KServe appends them to the runtime's
    if image:
        container["image"] = image
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceService",
        "metadata": {
            "name": called,
            "namespace": namespace,
            "labels": {
                MANAGED_BY: OURS,
                PART_OF: OURS,
                MODEL: name,
                ROLE: role,
                DIGEST: digest[:12],
                VERSION: version or digest[:12],
                # Requests come by a route of ours, whose weights KServe would set back
                "networking.kserve.io/visibility": "cluster-local",
            },
            "annotations": {"serving.kserve.io/deploymentMode": "Standard", RELEASE_DIGEST: digest},
        },
        "spec": {
            "predictor": {
                "minReplicas": min_replicas,
                "maxReplicas": max_replicas,
                "scaleMetric": "cpu",
                "scaleTarget": scale_target,
                # a new pod first, then one of the old ones goes: no capacity is lost, and no request
                "deploymentStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "serviceAccountName": service_account,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": GRACE_S,
                "securityContext": pod_security(),
                "topologySpreadConstraints": [_spread(called, key) for key in SPREAD],
                "model": container,
            }
        },
    }


def object_name(model: str, role: Role) -> str:
    """Name of the InferenceService of a model in a role."""
    return model if role == "stable" else f"{model}-canary"


def own_account(model: str) -> str:
    """Name of the ServiceAccount, and of its Secret, that read this model alone."""
    return f"slipway-model-{model}"


def predictor(service: str) -> str:
    """Name of the Deployment and Service that KServe makes of an InferenceService."""
    return f"{service}-predictor"


def check_names(name: str, namespace: str) -> None:
    """Raises: ConfigError: a name that Kubernetes or KServe would refuse."""
    for what, value in (("model name", name), ("namespace", namespace)):
        if not NAME.fullmatch(value):
            raise ConfigError(f"{what}: '{value}' must be 1 to 40 lower-case letters, digits and '-', starting with a letter")
    if name.endswith("-canary"):
        raise ConfigError(f"model name '{name}': must not end with -canary, which is what the canary of a model is called")
    longest = HOST_CHARACTERS - len("-canary-predictor-")
    if len(name) + len(namespace) > longest:
        raise ConfigError(
            f"model name '{name}' and namespace '{namespace}': together at most {longest} characters, got "
            f"{len(name) + len(namespace)}: KServe makes a host name of them; use a shorter one"
        )


def _spread(service: str, key: str) -> dict[str, Any]:
    """Pods apart where that is possible, and scheduled all the same where it is not."""
    pods = {"matchLabels": {"serving.kserve.io/inferenceservice": service}}
    return {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": pods}


def _probe(path: str, *, period_s: int, timeout_s: int, failures: int) -> dict[str, Any]:
    get = {"path": path, "port": PORT}
    return {"httpGet": get, "periodSeconds": period_s, "timeoutSeconds": timeout_s, "failureThreshold": failures}
