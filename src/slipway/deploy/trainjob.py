"""Training on several nodes as Kubeflow Trainer's TrainJob, as plain data: `slipway train` itself, started by torchrun.

For Kubeflow Trainer 2.2 and later (`runtimePatches`), and the runtime `torch-distributed` that it ships.
"""

import re
from collections.abc import Mapping
from typing import Any

from slipway.deploy.gpu import SHARED_MEMORY, GpuProfile, into_pod
from slipway.deploy.pod import (
    DIGEST,
    MANAGED_BY,
    OPTIONAL_KEYS,
    OURS,
    REQUIRED_KEYS,
    RUN_CONFIG,
    STORE_KEYS,
    STORE_SECRET,
    THREAD_VARIABLES,
    container_security,
    pod_security,
)
from slipway.errors import ConfigError

API_VERSION = "trainer.kubeflow.org/v1alpha1"
RUNTIME = "torch-distributed"
"""Name of the ClusterTrainingRuntime."""
NODE = "node"
"""What that runtime calls its job and its container."""
MANAGER = "slipway/train"
"""Owner of our patches; the webhook wants a domain and a path."""
NAME = re.compile(r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?")
"""A DNS label; `-node-0-0` and the like are added to it, of which 63 characters must be enough."""
IMAGE = re.compile(rf"[^@\s]+@{DIGEST.pattern}")


def train_job(
    *,
    name: str,
    data: str,
    checkpoint: str,
    image: str,
    preset: str = "",
    values: Mapping[str, str] | None = None,
    namespace: str = "",
    nodes: int = 1,
    gpu: GpuProfile | None = None,
    cpus: int = 2,
    memory_gib: int = 8,
    shared_memory: str = "2Gi",
) -> dict[str, Any]:
    """The object to apply: every node runs the same command, and the first process of the first node writes.

    Args:
        data: s3:// URI of a prepared data set.
        checkpoint: s3:// URI where the checkpoint goes.
        image: slipway-train by digest.
        preset: as for `slipway train`.
        values: of `--set`, as texts.
        namespace: with the ConfigMap and Secret that `pod` names; empty leaves it to whoever applies.
        gpu: of each node, with one process for each of its GPUs; None trains on CPUs, one process a node.
        cpus: of one process, request and limit.
        memory_gib: of one process, request and limit.
        shared_memory: of one node, in /dev/shm, where the profile names no size: NCCL's processes on a node talk through it.
    Raises: ConfigError: a name Kubernetes would refuse, an image without digest, or data that pods cannot reach.
    """
    for what, value in (("--trainjob", name), *((("--namespace", namespace),) if namespace else ())):
        if not NAME.fullmatch(value):
            raise ConfigError(f"{what} {value}: must be 1 to 50 lower-case letters, digits and '-', starting with a letter")
    if not IMAGE.fullmatch(image):
        raise ConfigError(
            f"--image {image or '(none)'}: a TrainJob names slipway-train by digest, NAME@sha256:…; "
            f"give it, or set SLIPWAY_TRAIN_IMAGE"
        )
    for what, uri in (("data set", data), ("-o", checkpoint)):
        if not uri.startswith("s3://"):
            raise ConfigError(f"{what} {uri}: pods do not see this machine's files; give s3://bucket/path for a TrainJob")
    processes = gpu.count if gpu else 1
    resources = {"cpu": str(cpus * processes), "memory": f"{memory_gib * processes}Gi"}
    pod = _pod(shared_memory)
    if gpu:
        into_pod(gpu, resources, pod)
    arguments = ["train", data, "-o", checkpoint, "--preset", preset, "--json"]
    for key, value in (values or {}).items():
        arguments += ["--set", f"{key}={value}"]
    trainer = {
        "image": image,
        "command": ["torchrun", "--no-python", "slipway"],
        "args": arguments,
        "numNodes": nodes,
        "numProcPerNode": processes,
        "resourcesPerNode": {"requests": resources, "limits": dict(resources)},
        "env": [
            *({"name": variable, "value": str(cpus)} for variable in THREAD_VARIABLES),
            *_from("configMapKeyRef", RUN_CONFIG, REQUIRED_KEYS),
            *_from("configMapKeyRef", RUN_CONFIG, OPTIONAL_KEYS, optional=True),
            *_from("secretKeyRef", STORE_SECRET, STORE_KEYS, optional=True),
        ],
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "TrainJob",
        "metadata": {
            "name": name,
            **({"namespace": namespace} if namespace else {}),
            "labels": {MANAGED_BY: OURS},
        },
        "spec": {
            "runtimeRef": {"apiGroup": API_VERSION.partition("/")[0], "kind": "ClusterTrainingRuntime", "name": RUNTIME},
            "trainer": trainer,
            "runtimePatches": [_patch(pod)],
        },
    }


def _from(kind: str, name: str, keys: tuple[str, ...], *, optional: bool = False) -> list[dict[str, Any]]:
    """Variables of which each has the value of the key of the same name."""
    more = {"optional": True} if optional else {}
    return [{"name": key, "valueFrom": {kind: {"name": name, "key": key, **more}}} for key in keys]


def _pod(shared_memory: str) -> dict[str, Any]:
    """What the runtime's pods lack: the restricted security profile, and shared memory."""
    return {
        "securityContext": pod_security(),
        "volumes": [{"name": SHARED_MEMORY, "emptyDir": {"medium": "Memory", "sizeLimit": shared_memory}}],
        "containers": [
            {
                "name": NODE,
                "volumeMounts": [{"name": SHARED_MEMORY, "mountPath": "/dev/shm"}],
                "securityContext": container_security(),
            }
        ],
    }


def _patch(pod: dict[str, Any]) -> dict[str, Any]:
    jobs = [{"name": NODE, "template": {"spec": {"template": {"spec": pod}}}}]
    return {"manager": MANAGER, "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": jobs}}}}
