import pytest
import typer
import yaml

from slipway.deploy import pod
from slipway.deploy.gpu import GpuProfile
from slipway.deploy.trainjob import train_job
from slipway.errors import ConfigError
from tests.helpers.servers import REPOSITORY

GOLDEN = REPOSITORY / "tests" / "unit" / "deploy" / "trainjob.golden.yaml"
RESERVED = {"PET_NNODES", "PET_NPROC_PER_NODE", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT"}
"""Set by Kubeflow Trainer, and refused by its webhook in a TrainJob."""


def job(**changes):
    options = {
        "name": "parts",
        "data": "s3://models/data/parts",
        "checkpoint": "s3://models/checkpoints/parts",
        "image": "registry.example/slipway-train@sha256:" + "a" * 64,
        "preset": "quick",
        "values": {"architecture": "resnet18", "epochs": "30"},
        "namespace": "team-a",
        "nodes": 2,
        "gpu": GpuProfile(resource="nvidia.com/gpu", count=4),
    }
    return train_job(**(options | changes))


def test_trainjob_is_the_golden_one():
    """Valid by the CRD of Trainer 2.3.0. To renew it after a wanted change: python -m tests.unit.deploy.test_trainjob."""
    assert yaml.safe_load(GOLDEN.read_text()) == job()


def test_nodes_without_gpus_train_in_one_process_each_and_tolerate_nothing():
    plain = job(gpu=None, namespace="")
    trainer = plain["spec"]["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (2, 1)
    assert set(trainer["resourcesPerNode"]["limits"]) == {"cpu", "memory"}
    assert "tolerations" not in str(plain)
    assert "namespace" not in plain["metadata"]


def test_the_container_has_what_its_processes_need_together():
    trainer = job(gpu=GpuProfile(resource="nvidia.com/mig-1g.10gb", count=2), cpus=3, memory_gib=4)["spec"]["trainer"]
    assert trainer["numProcPerNode"] == 2
    assert trainer["resourcesPerNode"]["requests"] == {"cpu": "6", "memory": "8Gi", "nvidia.com/mig-1g.10gb": "2"}
    assert {e["value"] for e in trainer["env"] if e["name"] in pod.THREAD_VARIABLES} == {"3"}, "of each process"


def test_settings_come_from_where_pods_of_pipelines_have_them():
    variables = {e["name"]: e.get("valueFrom", {}) for e in job()["spec"]["trainer"]["env"]}
    assert not RESERVED & set(variables)
    for key in pod.REQUIRED_KEYS:
        assert variables[key] == {"configMapKeyRef": {"name": "slipway-run", "key": key}}
    for key in pod.STORE_KEYS:
        assert variables[key] == {"secretKeyRef": {"name": "slipway-store", "key": key, "optional": True}}


def test_the_command_is_one_that_slipway_train_understands():
    from slipway.cli import app

    trainer = job()["spec"]["trainer"]
    assert trainer["command"][-1] == "slipway"
    verb, *arguments = trainer["args"]
    parsed = typer.main.get_command(app()).commands[verb].make_context(verb, arguments).params
    assert (parsed["data"], parsed["out"]) == ("s3://models/data/parts", "s3://models/checkpoints/parts")
    assert parsed["set_"] == ["architecture=resnet18", "epochs=30"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Parts"}, "--trainjob Parts: must be 1 to 50 lower-case"),
        ({"name": "p" * 51}, "must be 1 to 50"),
        ({"namespace": "team_a"}, "--namespace team_a: must be"),
        ({"image": ""}, r"--image \(none\): .*SLIPWAY_TRAIN_IMAGE"),
        ({"image": "slipway-train:0.1.0"}, "by digest"),
        ({"data": "/data/parts"}, r"data set /data/parts: pods do not see"),
        ({"checkpoint": "out"}, r"-o out: pods do not see .* give s3://"),
    ],
)
def test_what_would_fail_in_the_cluster_is_refused_here(changes, words):
    with pytest.raises(ConfigError, match=words):
        job(**changes)


if __name__ == "__main__":
    GOLDEN.write_text(yaml.safe_dump(job(), sort_keys=False))
