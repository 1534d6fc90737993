"""What each step needs of a cluster: the one table, applied by the one function. A local run uses none of it."""

from dataclasses import dataclass
from typing import Any

from slipway.deploy import gpu
from slipway.deploy.pod import OPTIONAL_KEYS, REQUIRED_KEYS, RUN_CONFIG, STORE_KEYS, STORE_SECRET, THREAD_VARIABLES
from slipway.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What one step needs. Quantities are Kubernetes' own."""

    cpus: int = 1
    """CPU limit, and the threads of the numeric libraries."""
    memory: str = "2Gi"
    """Memory limit."""
    memory_request: str = "512Mi"
    """What the scheduler sets aside."""
    timeout_s: int = 3600
    """The pod is ended after this long, be it at work, unschedulable or without its image."""
    retries: int = 2
    """Further attempts after a failure; every step may be repeated safely."""
    shared_memory: str = ""
    """Size of /dev/shm for data loader workers; empty leaves the 64 MiB of the container runtime."""


NEEDS: dict[str, Needs] = {
    "prepare_data": Needs(memory="4Gi", memory_request="1Gi"),
    "train": Needs(cpus=2, memory="8Gi", memory_request="2Gi", timeout_s=12 * 3600, retries=3, shared_memory="2Gi"),  # resumes
    "export_onnx": Needs(cpus=2, memory="4Gi", memory_request="1Gi"),
    "evaluate": Needs(cpus=2, memory="4Gi", memory_request="1Gi"),
    "gate": Needs(cpus=2, memory="4Gi", memory_request="1Gi"),  # asks the model again, to explain its mistakes
    "refuse": Needs(timeout_s=600, retries=0),  # fails by design
    "register_model": Needs(timeout_s=1800),
    "deploy_model": Needs(cpus=2, timeout_s=1800),
}
CPU_REQUEST = "250m"
"""Steps run one after another; the limit lets them use what is idle."""
RENAMED = {"MLFLOW_TRACKING_URI": "SLIPWAY_TRACKING_URI"}
"""Key of the ConfigMap -> variable of the pod: KFP's MLflow plugin sets the first one, and Kubernetes refuses the pod that
would have it twice."""
BACKOFF_S = 20
BACKOFF_FACTOR = 3


def apply(task: Any, step: str) -> Any:
    """Give a pipeline task what its step needs, and return it.

    Caching is off everywhere: KFP's key is the arguments, and a step's inputs are more than those (a folder that
    changed, the champion of the day, this package's version). Nothing is recomputed in vain by it: what a killed or
    repeated step had finished is found again in the store.

    Raises: ConfigError: the table has no such step.
    """
    from kfp import kubernetes

    from slipway.errors import unknown

    if step not in NEEDS:
        raise ConfigError(unknown("pipelines.resources", step, NEEDS))
    needs = NEEDS[step]
    task.set_caching_options(False)
    task.set_cpu_request(CPU_REQUEST).set_cpu_limit(str(needs.cpus))
    task.set_memory_request(needs.memory_request).set_memory_limit(needs.memory)
    for variable in THREAD_VARIABLES:
        task.set_env_variable(variable, str(needs.cpus))
    if needs.retries:
        # Argo counts the maximum from the first start: less than all attempts' time would end the retries early
        longest_s = (needs.retries + 1) * (needs.timeout_s + BACKOFF_S * BACKOFF_FACTOR**needs.retries)
        task.set_retry(needs.retries, f"{BACKOFF_S}s", BACKOFF_FACTOR, f"{longest_s}s")
    kubernetes.set_timeout(task, needs.timeout_s)
    kubernetes.set_security_context(task, run_as_non_root=True)  # restricted Pod Security refuses the pod without
    kubernetes.use_config_map_as_env(task, RUN_CONFIG, {key: RENAMED.get(key, key) for key in REQUIRED_KEYS})
    kubernetes.use_config_map_as_env(task, RUN_CONFIG, {key: key for key in OPTIONAL_KEYS}, optional=True)
    kubernetes.use_secret_as_env(task, STORE_SECRET, {key: key for key in STORE_KEYS}, optional=True)
    if needs.shared_memory:
        kubernetes.empty_dir_mount(task, gpu.SHARED_MEMORY, "/dev/shm", medium="Memory", size_limit=needs.shared_memory)
    return task


def add_gpu(ir: dict[str, Any], platform: dict[str, Any], profile: gpu.GpuProfile) -> None:
    """Give the training steps of a compiled pipeline GPUs.

    Done at submission, not in the goldens: a request for a GPU leaves a pod of a cluster without one pending.
    """
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for label, executor in ir["deploymentSpec"]["executors"].items():
        if label.startswith("exec-train-"):
            gpu.into_step(profile, executor["container"], executors[label])
