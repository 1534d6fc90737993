"""TrainJobs as the API server of a cluster with Kubeflow Trainer's kinds takes them: every field known, every rule kept."""

import json
import subprocess

import pytest

from tests.helpers.command import slipway
from tests.helpers.kubectl import kubectl

pytestmark = pytest.mark.e2e
IMAGE = "registry.example/slipway-train@sha256:" + "a" * 64
CREATE = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
CRD = "trainjobs.trainer.kubeflow.org"


@pytest.fixture(scope="module")
def trainer(cluster) -> None:
    """Its kinds, of a version that has what we write."""
    if not kubectl("get", "crd", CRD, "--ignore-not-found", "-o", "name"):
        pytest.skip(f"the cluster has no {CRD}; Kubeflow Trainer 2.2 or later brings it")
    if "runtimePatches" not in kubectl("get", "crd", CRD, "-o", "json"):
        pytest.skip(f"{CRD} here is older than Kubeflow Trainer 2.2: it has no runtimePatches")


@pytest.mark.parametrize(
    ("gpu", "arguments"),
    [
        ("", ["--family", "nlp"]),
        ("", ["--family", "cv", "--nodes", "2", "--gpus-per-node", "4", "--set", "epochs=2"]),
        ("mig-1g.10gb=2", ["--family", "cv"]),
        ("h100", ["--family", "defect", "--nodes", "2"]),
        ("nvidia-spot", ["--family", "nlp", "--set", "architecture=hf_encoder"]),
    ],
)
def test_a_trainjob_is_one_to_the_api_server(trainer, namespace, gpu, arguments, tmp_path, monkeypatch):
    monkeypatch.setenv("SLIPWAY_GPU", gpu)
    source = ("s3://models/data/parts", "-o", "s3://models/checkpoints/parts", "--trainjob", "parts", "--image", IMAGE)
    rendered = slipway("train", *source, "--namespace", namespace, *arguments, cwd=tmp_path)
    assert rendered.returncode == 0, rendered.stderr
    taken = json.loads(kubectl(*CREATE, "-o", "json", input_=rendered.stdout))
    assert taken["spec"]["trainer"]["command"] == ["torchrun", "--no-python", "slipway"]


def test_a_misspelt_field_would_be_told(trainer, namespace):
    """So that the test above can fail."""
    wrong = {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": "parts", "namespace": namespace},
        "spec": {"runtimeRef": {"name": "torch-distributed"}, "trainer": {"numNode": 1}},
    }
    refused = subprocess.run(["kubectl", *CREATE], input=json.dumps(wrong), capture_output=True, text=True, timeout=60)
    assert refused.returncode
    assert "numNode" in refused.stderr
