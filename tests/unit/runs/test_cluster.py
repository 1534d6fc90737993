"""Submission to KFP and the wait, against a server that checks every body and runs what it is given."""

import json
from dataclasses import replace

import pytest

from slipway import settings as settings_
from slipway.errors import ClusterError, ConfigError, DataError, GateRefusedError, StepFailedError
from slipway.runs import cluster, outcome
from slipway.runs.parameters import resolve
from tests.helpers import pipelines
from tests.helpers.kfp_stub import KfpStub, RefusedError, strict, validate
from tests.helpers.progress import Told

IMAGE = "registry.example/slipway-train@sha256:" + "0" * 64


@pytest.fixture
def stub(tmp_path):
    store = str(tmp_path / "store")
    with KfpStub(tmp_path / "kfp", config_maps={"slipway-run": {"SLIPWAY_STORE": store, "MLFLOW_TRACKING_URI": "-"}}) as stub:
        yield stub


@pytest.fixture
def settings(stub, tmp_path):
    return replace(settings_.load(), kfp_host=stub.host, train_image=IMAGE, store=str(tmp_path / "store"))


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return pipelines.compiled(pipelines.words_pipeline, tmp_path_factory.mktemp("compiled"))


def submit(settings, words, parameters, **options):
    return cluster.run("cv", parameters, settings=settings, pipeline=words, poll_s=0.05, deadline_s=60, **options)


@pytest.mark.integration
def test_a_submitted_run_is_followed_to_its_end(settings, words, capsys):
    told = Told()
    run_id = submit(settings, words, {"words": 5}, progress=told)
    assert told.steps == [("make", "started"), ("make", "ok")]
    assert run_id in told.lines[0]
    assert capsys.readouterr().out == ""


@pytest.mark.integration
@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        ("GateRefusedError", GateRefusedError, "too few words"),
        ("DataError", DataError, "too few words"),
        ("KeyError", StepFailedError, "fail: KeyError: .*too few words"),
    ],
)
def test_a_failed_run_raises_what_its_step_raised(settings, words, error, raised, says):
    with pytest.raises(raised, match=says) as caught:
        submit(settings, words, {"needed": 9, "error": error}, progress=Told())
    assert caught.value.run_id


@pytest.mark.integration
def test_a_run_whose_record_is_elsewhere_says_where_to_look(settings, words, tmp_path):
    elsewhere = replace(settings, store=str(tmp_path / "other"))
    with pytest.raises(StepFailedError, match=r"KFP says FAILED .*SLIPWAY_STORE.*#/runs/details/"):
        submit(elsewhere, words, {"needed": 9}, progress=Told())


@pytest.mark.parametrize("family", ["cv", "defect", "nlp"])
def test_what_is_submitted_passes_kfps_own_models(settings, stub, family):
    """The stub refuses unknown fields and wrong types; without its config map the run starts no step."""
    stub.config_maps.clear()
    gpus = replace(settings, gpu="nvidia.com/gpu=2", store="s3://slipway/teams/a", kfp_service_account="slipway-run")
    parameters = resolve(family, preset="quick", values={})
    with pytest.raises(ClusterError, match="still RUNNING after 0 s, terminated"):
        cluster.run(family, parameters, settings=gpus, progress=Told(), poll_s=0.01, deadline_s=0)
    (run,) = stub.runs.values()
    assert run.state == "FAILED", "terminated, since nobody else would end it"
    assert run.body["runtime_config"]["pipeline_root"] == "s3://slipway/teams/a/kfp"
    assert run.body["service_account"] == "slipway-run"
    executors = run.body["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    assert {e["container"]["image"] for e in executors.values()} == {IMAGE}
    gpus = {label for label, e in executors.items() if "accelerator" in e["container"]["resources"]}
    assert gpus == {f"exec-train-{family}"}
    assert not [line for line in json.dumps(run.body).split('"') if "set-at-submission" in line]


def test_a_wrong_parameter_is_the_servers_one_line(settings, words):
    with pytest.raises(ClusterError, match="parameter words: 'many' is not a NUMBER_INTEGER"):
        submit(settings, words, {"words": "many"}, progress=Told())


@pytest.mark.integration
def test_an_api_server_that_restarts_is_waited_for(settings, words, stub):
    class Restarting(Told):
        def started(self, _):
            stub.fail_next = 2

    submit(settings, words, {}, progress=Restarting())


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"kfp_host": ""}, ConfigError, "SLIPWAY_KFP_HOST: not set"),
        ({"kfp_host": "http://127.0.0.1:1"}, ClusterError, "SLIPWAY_KFP_HOST http://127.0.0.1:1: does not answer"),
        ({"train_image": ""}, ConfigError, "placeholder; set SLIPWAY_TRAIN_IMAGE"),
        ({"train_image": "slipway-train:latest"}, ConfigError, "has the tag 'latest', which can move"),
    ],
)
def test_what_cannot_be_submitted_is_one_line(settings, change, error, says):
    with pytest.raises(error, match=says) as caught:
        cluster.run("cv", {}, settings=replace(settings, **change), progress=Told())
    assert "\n" not in str(caught.value)


def test_the_stub_is_strict():
    with pytest.raises(RefusedError, match="unknown fields"):
        strict({"display_name": "x", "dispaly_name": "x"}, "V2beta1Experiment")
    with pytest.raises(RefusedError, match="no field named"):
        validate({"root": {}, "rooot": {}, "deploymentSpec": {"executors": {}}}, {})


@pytest.mark.slow
@pytest.mark.integration
def test_a_familys_own_pipeline_runs_as_submitted(settings, stub, tmp_path):
    """The nlp pipeline in the environment its pods would have: everything comes from the config map."""
    tracking = f"sqlite:///{tmp_path / 'mlflow.db'}"
    stub.config_maps["slipway-run"]["MLFLOW_TRACKING_URI"] = tracking
    told = Told()
    parameters = resolve("nlp", preset="quick", values={})
    run_id = cluster.run("nlp", parameters, settings=settings, progress=told, poll_s=0.2, deadline_s=300)
    ran = [step for step, what in told.steps if what == "ok"]
    assert ran == ["prepare_data", "train", "export_onnx", "evaluate", "gate", "register_model", "deploy_model"]
    reached = outcome.read(run_id, settings)
    assert (reached["run"], reached["verdict"], reached["version"]) == (run_id, "pass", 1)


@pytest.mark.slow
@pytest.mark.integration
def test_a_refused_model_ends_a_submitted_run_as_refused(settings, stub, tmp_path):
    stub.config_maps["slipway-run"]["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path / 'mlflow.db'}"
    parameters = resolve("nlp", preset="quick", values={"min_accuracy": "0.999"})
    with pytest.raises(GateRefusedError, match=r"accuracy .* < 0\.9990") as caught:
        cluster.run("nlp", parameters, settings=settings, progress=Told(), poll_s=0.2, deadline_s=300)
    assert outcome.read(caught.value.run_id, settings)["verdict"] == "fail"
