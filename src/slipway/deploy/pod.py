"""What objects of ours are known by, what every pod of ours reads from its namespace and may not do: in one place."""

import re
from typing import Any

MANAGED_BY, PART_OF, OURS = "app.kubernetes.io/managed-by", "app.kubernetes.io/part-of", "slipway"
"""Labels of every object of ours, and what they say."""
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
"""Of an image: what comes after the @."""

STORE_SECRET = "slipway-store"
"""Secret of the run's namespace: STORE_KEYS. Optional: an IAM role does as well."""
STORE_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
S3_ENDPOINT, S3_USE_HTTPS = "serving.kserve.io/s3-endpoint", "serving.kserve.io/s3-usehttps"
"""Annotations by which KServe's download learns from such a Secret where the store is: host:port, and 0 or 1."""
RUN_CONFIG = "slipway-run"
"""ConfigMap of the run's namespace: what `slipway.settings` reads. By it a team's namespace is known."""
RUN_ACCOUNT = "slipway-run"
"""ServiceAccount of a namespace's runs."""
REQUIRED_KEYS = ("SLIPWAY_STORE", "MLFLOW_TRACKING_URI")
"""Without them a pod would keep its work in its own file system and lose it: it does not start, then times out."""
OPTIONAL_KEYS = (
    "AWS_ENDPOINT_URL", "AWS_REGION", "SLIPWAY_DATA", "SLIPWAY_SERVE_IMAGE", "SLIPWAY_GATEWAY", "SLIPWAY_GATEWAY_DOMAIN",
    "SLIPWAY_GATEWAY_TIMEOUT_S", "HF_HOME", "HF_HUB_OFFLINE",
)  # fmt: skip
THREAD_VARIABLES = ("SLIPWAY_THREADS", "OMP_NUM_THREADS")
"""Both say the CPUs of a process: more threads than CPUs are throttled."""


def pod_security() -> dict[str, Any]:
    """securityContext of a pod that namespaces of Pod Security `restricted` admit; its containers need theirs, too."""
    return {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def container_security() -> dict[str, Any]:
    """securityContext of a container in such a pod."""
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
