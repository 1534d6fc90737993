"""The API server, which every walk on a cluster starts with: does it answer, does it know a type, is the namespace there."""

from typing import Protocol

from slipway.deploy.kube import Kube, path
from slipway.doctor.objects import SERVING
from slipway.doctor.walk import Finding, broken, ok


class OfCluster(Protocol):
    """What a walk on a cluster is about."""

    kube: Kube


def answers(subject: OfCluster) -> Finding:
    """The API server answers."""
    kube = subject.kube
    return ok(f"Kubernetes {kube.call('GET', '/version').get('gitVersion')} at {kube.host}")


def knows(kube: Kube, group: str, plural: str) -> bool:
    """Whether it serves that type; `group` is with its version."""
    found = kube.find(f"/apis/{group}") or {}
    return plural in [resource["name"] for resource in found.get("resources") or []]


def kserve(subject: OfCluster) -> Finding:
    """KServe's type is known."""
    if not knows(subject.kube, SERVING, "inferenceservices"):
        return broken(f"the API server does not know {SERVING} InferenceService", "install KServe: make cluster-install")
    return ok(SERVING)


def namespace(kube: Kube, name: str) -> Finding:
    """The namespace is there, and stays."""
    found = kube.find(path("v1", "", "namespaces", name))
    if found is None:
        return broken(
            f"there is no namespace '{name}'", "name another with --namespace, or add the team to charts/slipway-platform"
        )
    if (found.get("status") or {}).get("phase") == "Terminating":
        return broken(f"namespace '{name}' is being deleted", "wait until it is gone, and make it anew")
    return ok(name)
