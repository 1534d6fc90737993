"""A GPU profile on a pod that a real scheduler and kubelet see.

To them a GPU is a number at a node, under a name: the names here are made up, and there is no device behind them.
"""

import secrets
from typing import Any

import pytest

from slipway.deploy.gpu import SHARED_MEMORY, GpuProfile, into_pod
from slipway.deploy.pod import container_security, pod_security
from tests.e2e.conftest import image
from tests.helpers.kubectl import apply, extended, get, kubectl, labelled, wait
from tests.helpers.servers import wait_until

pytestmark = pytest.mark.e2e
TOLD_S = 120
LOOK_S = 1.0


@pytest.fixture
def node(cluster) -> str:
    """A node that takes pods."""
    nodes = get("default", "nodes")["items"]
    return next(n["metadata"]["name"] for n in nodes if not n["spec"].get("taints") and not n["spec"].get("unschedulable"))


@pytest.fixture
def resource() -> str:
    """A name that no node has, nor another test."""
    return f"slipway.example/{secrets.token_hex(3)}"


def start(namespace: str, name: str, profile: GpuProfile) -> None:
    """A pod with the profile that says how large its shared memory is."""
    resources = {"cpu": "10m", "memory": "64Mi"}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": pod_security(),
        "volumes": [{"name": SHARED_MEMORY, "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}],
    }
    into_pod(profile, resources, pod)
    container = {
        "name": "main",
        "image": image("train"),
        "command": ["df", "--output=size", "-m", "/dev/shm"],
        "resources": {"requests": resources, "limits": resources},
        "securityContext": container_security(),
        "volumeMounts": [{"name": SHARED_MEMORY, "mountPath": "/dev/shm"}],
    }
    named = {"name": name, "namespace": namespace}
    apply({"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": {**pod, "containers": [container]}})


def refused_for(namespace: str, name: str) -> str:
    """Why the scheduler found no node; empty where it has not said so."""
    conditions = get(namespace, "pod", name)["status"].get("conditions", [])
    return " ".join(c.get("message", "") for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False")


def says(namespace: str, name: str, words: str) -> None:
    """Wait until the scheduler gives this reason."""
    wait_until(lambda: words in refused_for(namespace, name), f"{name}: {words}", TOLD_S, LOOK_S)


def test_a_pod_waits_for_the_nodes_gpu_and_has_it_with_its_shared_memory(node, namespace, resource):
    profile = GpuProfile(resource=resource, shared_memory="48Mi")
    start(namespace, "one", profile)
    says(namespace, "one", f"Insufficient {resource}")
    with extended(node, resource):
        wait(namespace, "pod/one", "jsonpath={.status.phase}=Succeeded", TOLD_S)
        assert kubectl("-n", namespace, "logs", "one").split()[-1] == "48"
        start(namespace, "two", GpuProfile(resource=resource, count=2))
        says(namespace, "two", f"Insufficient {resource}")


def test_a_profile_goes_to_its_nodes_alone(node, namespace, resource):
    label = f"{resource}-product"
    with extended(node, resource):
        start(namespace, "pod", GpuProfile(resource=resource, nodes={label: ("A", "B")}, prefer={f"{resource}-rack": ("7",)}))
        says(namespace, "pod", "affinity")
        with labelled(node, label, "B"):
            wait(namespace, "pod/pod", "jsonpath={.status.phase}=Succeeded", TOLD_S)
