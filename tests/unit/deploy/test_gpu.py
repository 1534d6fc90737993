"""GPU profiles, and what becomes of them in a compiled pipeline and in a TrainJob."""

from dataclasses import replace

import pytest
import yaml

from slipway import settings as settings_
from slipway.deploy import gpu
from slipway.deploy.gpu import GpuProfile
from slipway.deploy.trainjob import train_job
from slipway.errors import ConfigError
from slipway.pipelines import resources
from slipway.runs import cluster
from slipway.runs.parameters import compiled
from tests.helpers.kfp_stub import validate

IMAGE = "registry.example/slipway-train@sha256:" + "0" * 64
FULL = GpuProfile(
    resource="nvidia.com/mig-1g.10gb",
    count=2,
    tolerate=("team/only",),
    nodes={"gpu.product": ("H100", "H200"), "zone": ("a",)},
    prefer={"rack": ("7",)},
    shared_memory="8Gi",
    spot=True,
)
EXPRESSIONS = [
    {"key": "gpu.product", "operator": "In", "values": ["H100", "H200"]},
    {"key": "zone", "operator": "In", "values": ["a"]},
]


def compiled_with(profile, family="cv"):
    from slipway.pipelines import lint

    ir, platform = lint.load(compiled(family))
    resources.add_gpu(ir, platform, profile)
    validate(ir, platform)
    return ir["deploymentSpec"]["executors"], platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.mark.parametrize(
    ("text", "resource", "count"),
    [
        ("nvidia.com/gpu", "nvidia.com/gpu", 1),
        ("nvidia.com/mig-1g.10gb=2", "nvidia.com/mig-1g.10gb", 2),
        ("nvidia-shared", "nvidia.com/gpu.shared", 1),
        ("h100=8", "nvidia.com/gpu", 8),
    ],
)
def test_a_name_or_a_resource_is_a_profile(text, resource, count):
    profile = gpu.read(text)
    assert (profile.resource, profile.count) == (resource, count)


def test_without_a_text_there_are_no_gpus():
    assert gpu.read("") is None


def test_a_file_of_ones_own_adds_profiles_and_replaces_ours(tmp_path):
    own = tmp_path / "gpus.yaml"
    own.write_text("lab: {resource: nvidia.com/gpu, count: 4, nodes: {pool: lab}}\nnvidia: {resource: example.com/gpu}\n")
    assert gpu.read("lab", own=own) == GpuProfile(resource="nvidia.com/gpu", count=4, nodes={"pool": ("lab",)})
    assert gpu.read("nvidia", own=own).resource == "example.com/gpu"
    assert gpu.read("h100", own=own).nodes


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2", "SLIPWAY_GPU: unknown '2'"),
        ("nvidai", "did you mean 'nvidia'"),
        ("nvidia.com/gpu=0", "count must be 1 to 64"),
        ("nvidia.com/gpu=two", "count must be 1 to 64"),
        ("/gpu", "must be DOMAIN/NAME"),
    ],
)
def test_what_is_no_profile_is_refused(text, says):
    with pytest.raises(ConfigError, match=says):
        gpu.read(text)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("lab: {resorce: nvidia.com/gpu}", "did you mean 'resource'"),
        ("lab: {count: 2}", "resource is missing; needed are resource"),
        ("lab: {resource: nvidia.com/gpu, nodes: [a]}", r"lab\.nodes: must be a table of texts"),
        ("lab: {resource: nvidia.com/gpu, count: two}", r"lab\.count: must be a whole number, got 'two'"),
        ("lab: {resource: nvidia.com/gpu, shared_memory: 8}", r"lab\.shared_memory: must be text, got 8"),
        ("lab: nvidia.com/gpu", "lab: must be a table of names and values, got 'nvidia.com/gpu'"),
        ("[lab]", "must be NAME"),
        ("{", "GPU profiles .*: not YAML .line 1"),
    ],
)
def test_a_malformed_table_is_one_line(tmp_path, content, says):
    own = tmp_path / "gpus.yaml"
    own.write_text(content)
    with pytest.raises(ConfigError, match=says) as caught:
        gpu.read("lab", own=own)
    assert "\n" not in str(caught.value)
    assert str(own) in str(caught.value)


def test_every_profile_of_ours_can_be_read_and_submitted():
    for name in yaml.safe_load(gpu.TABLE.read_text()):
        compiled_with(gpu.read(name))


@pytest.mark.parametrize("family", ["cv", "defect", "nlp"])
def test_a_profile_goes_into_the_training_step_alone(family):
    containers, executors = compiled_with(FULL, family)
    asking = {label for label, e in containers.items() if "accelerator" in e["container"]["resources"]}
    assert asking == {f"exec-train-{family}"} == {label for label, e in executors.items() if e.get("tolerations")}
    accelerator = containers[f"exec-train-{family}"]["container"]["resources"]["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("nvidia.com/mig-1g.10gb", "2")
    step = executors[f"exec-train-{family}"]
    keys = [t["key"] for t in step["tolerations"]]
    assert keys == ["nvidia.com/mig-1g.10gb", "nvidia.com/gpu", "team/only", *gpu.SPOT_TAINTS]
    assert {(t["operator"], t["effect"]) for t in step["tolerations"]} == {("Exists", "NoSchedule")}
    required, preferred = step["nodeAffinity"]
    assert required == {"matchExpressions": EXPRESSIONS}, "one term: of two, KFP takes nodes that fit either"
    assert preferred["weight"] == 100
    (mount,) = step["emptyDirMounts"]
    assert (mount["mountPath"], mount["sizeLimit"]) == ("/dev/shm", "8Gi")


def test_a_plain_gpu_changes_nothing_else():
    _, executors = compiled_with(GpuProfile(resource="nvidia.com/gpu"))
    step = executors["exec-train-cv"]
    assert [t["key"] for t in step["tolerations"]] == ["nvidia.com/gpu"]
    assert not step["nodeAffinity"]
    assert step["emptyDirMounts"][0]["sizeLimit"] == "2Gi"


def test_a_trainjob_has_the_same_profile():
    job = train_job(name="parts", data="s3://b/data", checkpoint="s3://b/out", image=IMAGE, gpu=FULL, nodes=2)
    trainer = job["spec"]["trainer"]
    assert trainer["numProcPerNode"] == 2
    assert trainer["resourcesPerNode"]["limits"]["nvidia.com/mig-1g.10gb"] == "2"
    (patch,) = job["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = node["template"]["spec"]["template"]["spec"]
    assert pod["tolerations"] == FULL.tolerations
    affinity = pod["affinity"]["nodeAffinity"]
    required = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert required == [{"matchExpressions": EXPRESSIONS}]
    assert affinity["preferredDuringSchedulingIgnoredDuringExecution"][0]["weight"] == 100
    assert pod["volumes"][0]["emptyDir"]["sizeLimit"] == "8Gi"


def test_submission_takes_the_profile_that_the_settings_name():
    settings = replace(settings_.load(), train_image=IMAGE, gpu="mig-1g.10gb=2")
    ir, _ = cluster.submission(compiled("cv"), settings=settings)
    assert "mig-1g.10gb" in str(ir["deploymentSpec"]["executors"]["exec-train-cv"])
