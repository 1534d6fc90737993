"""GPU profiles: one object says what a pod with GPUs asks for, and it is put into KFP's steps and TrainJobs here alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slipway.config import configured, read_yaml
from slipway.errors import ConfigError, unknown

RESOURCE = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
QUANTITY = re.compile(r"[1-9]\d*(Ki|Mi|Gi|Ti)")
SPOT_TAINTS = ("cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority")
"""What GKE and AKS keep other pods off spot nodes with; EKS and Karpenter put no taint there."""
SHARED_MEMORY = "shared-memory"
"""Name of the volume that is /dev/shm."""
PREFERENCE = 100
"""Weight of `prefer`, of 1 to 100: nothing else of ours is weighed against it."""
TABLE = Path(__file__).with_name("gpu.yaml")


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuProfile:
    """What a training pod with GPUs asks of the cluster."""

    resource: str
    """Kubernetes' resource name: nvidia.com/gpu, nvidia.com/gpu.shared of a time slice, nvidia.com/mig-1g.10gb."""
    count: int = 1
    """How many for each pod, 1 to 64."""
    tolerate: tuple[str, ...] = ()
    """Keys of further taints; those of GPU nodes, the resource's name and DOMAIN/gpu, always are tolerated."""
    nodes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Node label -> values of which the node must have one; all labels must fit."""
    prefer: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The same, of nodes that are taken where there is a choice."""
    shared_memory: str = ""
    """Size of /dev/shm, such as 8Gi; it counts as memory of the pod. Empty: as without GPUs."""
    spot: bool = False
    """Also on nodes that may be taken away (see SPOT_TAINTS)."""

    def __post_init__(self) -> None:
        if not RESOURCE.fullmatch(self.resource):
            raise ConfigError(f"GPU resource '{self.resource}': must be DOMAIN/NAME, such as nvidia.com/gpu")
        if not 1 <= self.count <= 64:
            raise ConfigError(f"GPU count of {self.resource}: must be 1 to 64, got {self.count}")
        if self.shared_memory and not QUANTITY.fullmatch(self.shared_memory):
            raise ConfigError(f"shared_memory of {self.resource}: must be a size such as 8Gi, got '{self.shared_memory}'")

    @property
    def tolerations(self) -> list[dict[str, Any]]:
        """As a pod has them."""
        own = (self.resource, f"{self.resource.partition('/')[0]}/gpu")
        keys = dict.fromkeys((*own, *self.tolerate, *(SPOT_TAINTS if self.spot else ())))
        return [{"key": key, "operator": "Exists", "effect": "NoSchedule"} for key in keys]


def read(text: str, *, own: Path | None = None) -> GpuProfile | None:
    """The profile that SLIPWAY_GPU means: NAME, NAME=COUNT, RESOURCE or RESOURCE=COUNT; None for an empty text.

    Args:
        own: a YAML file of further profiles, which replace ours of the same name; None: there is none.
    Raises: ConfigError: an unknown name, with the near match; a count, file or profile that cannot be.
    """
    if not text:
        return None
    name, given, count = text.partition("=")
    if given and not re.fullmatch(r"[1-9]\d?", count):
        raise ConfigError(f"SLIPWAY_GPU: the count must be 1 to 64, got '{text}'; such as nvidia.com/gpu=1")
    known = _table(TABLE) | (_table(own) if own else {})
    if "/" in name:
        profile = GpuProfile(resource=name)
    elif name in known:
        profile = known[name]
    else:
        raise ConfigError(unknown("SLIPWAY_GPU", name, known) + "; or a resource, such as nvidia.com/gpu=1")
    return replace(profile, count=int(count)) if given else profile


def into_step(profile: GpuProfile, container: dict[str, Any], executor: dict[str, Any]) -> None:
    """Put a profile into one step of a compiled pipeline.

    Args:
        container: the step's, in the pipeline's `deploymentSpec`.
        executor: the step's KubernetesExecutorConfig.
    """
    count = str(profile.count)
    container.setdefault("resources", {})["accelerator"] = {
        "type": profile.resource,
        "resourceType": profile.resource,
        "count": count,
        "resourceCount": count,
    }
    executor.setdefault("tolerations", []).extend(profile.tolerations)
    terms = executor.setdefault("nodeAffinity", [])  # of two terms KFP takes nodes that fit either
    if profile.nodes:
        terms.append({"matchExpressions": _expressions(profile.nodes)})
    if profile.prefer:
        terms.append({"matchExpressions": _expressions(profile.prefer), "weight": PREFERENCE})
    for mount in executor.get("emptyDirMounts", []):
        if mount["volumeName"] == SHARED_MEMORY and profile.shared_memory:
            mount["sizeLimit"] = profile.shared_memory


def into_pod(profile: GpuProfile, resources: dict[str, str], pod: dict[str, Any]) -> None:
    """Put a profile into a pod's template, and its GPUs into the resources of the container that is to have them."""
    resources[profile.resource] = str(profile.count)
    pod.setdefault("tolerations", []).extend(profile.tolerations)
    affinity: dict[str, Any] = {}
    if profile.nodes:
        terms = [{"matchExpressions": _expressions(profile.nodes)}]
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    if profile.prefer:
        preference = {"weight": PREFERENCE, "preference": {"matchExpressions": _expressions(profile.prefer)}}
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = [preference]
    if affinity:
        pod["affinity"] = {"nodeAffinity": affinity}
    for volume in pod.get("volumes", []):
        if volume["name"] == SHARED_MEMORY and profile.shared_memory:
            volume["emptyDir"]["sizeLimit"] = profile.shared_memory


def _expressions(labels: Mapping[str, tuple[str, ...]]) -> list[dict[str, Any]]:
    return [{"key": key, "operator": "In", "values": list(values)} for key, values in labels.items()]


def _table(path: Path) -> dict[str, GpuProfile]:
    what = f"GPU profiles {path}"
    table = read_yaml(path, what=what) or {}
    if not isinstance(table, dict):
        raise ConfigError(f"{what}: must be NAME: {{resource: …}} for each profile, as in {TABLE}; got {table!r:.80}")
    return {str(name): configured(GpuProfile, entry, where=f"{what}: {name}") for name, entry in table.items()}
