"""What we write must be understood by KServe: every field of ours has a place in its own types."""

import pytest

from tests.helpers import helm
from tests.unit.deploy.test_service_manifest import service

pytestmark = pytest.mark.integration


class _Answer:
    """What the client's deserialiser takes."""

    def __init__(self, value):
        import json

        self.data = json.dumps(value)


def runtime():
    return helm.pick(helm.template("slipway-models"), "ServingRuntime")


@pytest.mark.parametrize(
    ("made", "kind"),
    [(service, "V1beta1InferenceService"), (runtime, "V1alpha1ServingRuntime")],
    ids=["InferenceService", "ServingRuntime"],
)
def test_nothing_of_ours_is_lost_in_kserves_types(made, kind, monkeypatch):
    value = made()
    import kserve
    import kubernetes.client.models
    from kserve import ApiClient

    for name in dir(kubernetes.client.models):  # kserve's deserialiser looks for Kubernetes' types among its own
        if name.startswith("V1") and not hasattr(kserve.models, name):
            monkeypatch.setattr(kserve.models, name, getattr(kubernetes.client.models, name), raising=False)

    strategy = kubernetes.client.V1DeploymentStrategy  # under kserve's name for it, of which kserve has no class
    monkeypatch.setattr(kserve.models, "K8sIoApiAppsV1DeploymentStrategy", strategy, raising=False)
    client = ApiClient()
    typed = client.deserialize(_Answer(value), getattr(kserve, kind))
    assert list(lost(value, client.sanitize_for_serialization(typed))) == []


def lost(ours, theirs, path=""):
    """Paths of what we wrote and their types do not hold; defaults that they add are theirs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from lost(value, theirs.get(key), f"{path}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, (value, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from lost(value, other, f"{path}[{i}]")
    elif ours != theirs:
        yield path
