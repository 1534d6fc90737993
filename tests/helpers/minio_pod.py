"""A MinIO in a pod of the cluster, whose data go with it."""

from typing import Any

from slipway.deploy.pod import container_security, pod_security
from tests.helpers.kube_objects import obj

BUCKET = "slipway"
KEYS = ("test-access-key", "test-secret-key")
"""Access key and secret key of its root user."""
SECURE = {**container_security(), "readOnlyRootFilesystem": True}
POD = {**pod_security(), "runAsUser": 1000, "fsGroup": 1000}


def minio(namespace: str, image: str, *, size: str = "") -> list[dict[str, Any]]:
    """Pod and Service `minio`, port 9000, in a namespace that may be restricted.

    Args:
        size: of a disk in memory that can be full, such as 96Mi; empty: what the node has.
    """
    container = {
        "name": "minio", "image": image, "imagePullPolicy": "IfNotPresent",
        "args": ["server", "/data", "--address", ":9000", "--certs-dir", "/data/.certs"],
        "env": [{"name": name, "value": value} for name, value in (
            ("HOME", "/data"), ("MINIO_BROWSER", "off"), ("MINIO_ROOT_USER", KEYS[0]), ("MINIO_ROOT_PASSWORD", KEYS[1]))],
        "readinessProbe": {"httpGet": {"path": "/minio/health/ready", "port": 9000}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "20m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": SECURE, "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }  # fmt: skip
    data = {"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": size} if size else {}}
    spec = {"securityContext": POD, "containers": [container], "volumes": [data],
            "enableServiceLinks": False, "terminationGracePeriodSeconds": 1}  # fmt: skip
    labels = {"app": "minio"}
    service = {"selector": labels, "ports": [{"port": 9000}]}
    return [
        obj("Pod", "minio", namespace=namespace, meta={"labels": labels}, spec=spec),
        obj("Service", "minio", namespace=namespace, spec=service),
    ]
