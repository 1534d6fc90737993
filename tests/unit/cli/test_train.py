"""`slipway prepare` and `slipway train`: the pipeline's own steps, by hand."""

import json

import pytest
import yaml

from slipway.cli import main
from slipway.data.dataset import Dataset
from slipway.errors import ConfigError, ConflictError, DataError, NotFoundError, StoreError
from slipway.store import files
from tests.helpers import checkpoints, datasets
from tests.helpers.command import within
from tests.helpers.minio_server import minio_server, s3_bucket  # noqa: F401  fixtures

IMAGE = "registry.example/slipway-train@sha256:" + "a" * 64
CLUSTER = ["s3://models/data/texts", "-o", "s3://models/checkpoints/texts", "--trainjob", "texts", "--image", IMAGE]


def output(capsys, *arguments: object) -> str:
    code, out, err = within(capsys, *arguments)
    assert code == 0, err
    return out


def result(capsys, *arguments: object) -> dict:
    out = output(capsys, *arguments, "--json")
    assert len(out.splitlines()) == 1
    return json.loads(out)


def rendered(capsys, *arguments: object) -> dict:
    return yaml.safe_load(output(capsys, "train", *CLUSTER, *arguments))


def refusal(kind, *arguments: object) -> str:
    """The message of the error that the call ends with."""
    with pytest.raises(kind) as raised:
        main([*map(str, arguments), "--debug"])
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def texts(tmp_path):
    return datasets.texts(tmp_path / "texts").path


def test_prepare_writes_what_the_pipelines_step_writes(capsys, tmp_path):
    from slipway import steps
    from slipway.runs.parameters import resolve

    made = result(capsys, "prepare", "reviews", "-o", tmp_path / "set", "--set", "size=120")
    assert (made["family"], made["train"] + made["validation"] + made["test"]) == ("nlp", 120)
    asked = resolve("nlp", preset="quick", values={"dataset": "reviews", "size": "120"})
    named = ["dataset", "data", "size", "text_column", "label_column", "slice_columns", "seed"]
    named += ["train_fraction", "validation_fraction"]
    direct = {
        "family": "nlp",
        "image_px": 0,
        "checked": tmp_path / "checked",
        "run_id": "direct",
        **{name: asked[name] for name in named},
    }
    assert steps.prepare_data(out=tmp_path / "direct", **direct)["digest"] == made["digest"]


def test_train_is_the_pipelines_step(capsys, texts, tmp_path):
    from slipway import settings, steps
    from slipway.runs import parameters, record
    from slipway.store.uri import open_store

    made = result(capsys, "train", texts, "-o", tmp_path / "out", "--set", "max_features=50")
    assert made["checkpoint"] == str(tmp_path / "out")
    assert files.verify(tmp_path / "out").digest == made["digest"]
    assert made["best"]["val_accuracy"] > 0.5
    asked = parameters.resolve("nlp", preset="quick", values={"data": "own", "max_features": "50"})
    fields = parameters.training("nlp", asked)
    steps.train(dataset=texts, out=tmp_path / "direct", model_name="", run_id="direct", **fields)
    assert files.read_manifest(tmp_path / "direct").digest == made["digest"]
    kept = record.read(open_store(settings.load().store), made["run"])["train"]
    assert (kept["status"], kept["outputs"]["checkpoint"]) == ("succeeded", made["digest"])
    again = result(capsys, "train", texts, "-o", tmp_path / "out", "--set", "max_features=50")
    assert again == made, "the same call is the same run"


def test_the_record_says_what_pruning_left(capsys, tmp_path):
    from slipway import settings
    from slipway.runs import record
    from slipway.store.uri import open_store
    from slipway.tracking.client import call
    from slipway.tracking.runs import mlflow_run_id

    data = datasets.images(tmp_path / "data", family="defect")
    start = checkpoints.write(data, tmp_path / "start", members=(("defect_small", {"width": 0.5}),))
    asked = {"width": 0.5, "epochs": 1, "batch_size": 8, "start": start, "prune_channels": 0.25, "sparsity": 0.5}
    values = [word for name, value in asked.items() for word in ("--set", f"{name}={value}")]
    made = result(capsys, "train", data.path, "-o", tmp_path / "out", *values)
    kept = record.read(open_store(settings.load().store), made["run"])["train"]
    pruned = json.loads((tmp_path / "out" / "model.json").read_text())["pruned"]
    assert pruned["parameters"] < pruned["parameters_before"]
    assert pruned.items() <= kept["metrics"].items()
    assert kept["results"]["start"] == files.read_manifest(start).digest
    run_id = mlflow_run_id(made["run"], settings.load())
    run = call(settings.load(), lambda client: client.get_run(run_id))
    assert pruned.items() <= run.data.metrics.items()


def test_a_recipe_lies_between_preset_and_set(capsys, texts, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("max_features: 40\nngrams: 1\n")
    result(capsys, "train", texts, "-o", tmp_path / "out", "--recipe", recipe, "--set", "max_features=30")
    config = json.loads((tmp_path / "out" / "model.json").read_text())["config"]
    assert (config["max_features"], config["ngrams"]) == (30, 1)


def test_a_folder_that_holds_something_else_is_not_replaced(texts, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    assert "so it is not replaced" in refusal(ConflictError, "train", texts, "-o", tmp_path / "mine")
    assert "has no model.json" in refusal(ConflictError, "train", texts, "-o", texts)
    assert Dataset.load(texts, verify=True)


def test_mistakes_are_told_before_anything_is_trained(texts, tmp_path):
    out = tmp_path / "out"
    assert "did you mean 'epochs'" in refusal(ConfigError, "train", texts, "-o", out, "--set", "epoch=3")
    assert "unknown 'size'" in refusal(ConfigError, "train", texts, "-o", out, "--set", "size=3")
    assert "slipway prepare digits -o DIR" in refusal(DataError, "train", "digits", "-o", out)
    assert "give --trainjob NAME" in refusal(ConfigError, "train", texts, "-o", out, "--nodes", 2)
    assert "did you mean 'digits'" in refusal(NotFoundError, "prepare", "digit", "-o", out)
    assert "give --family" in refusal(ConfigError, "prepare", tmp_path, "-o", out)
    assert "did you mean 'image_px'" in refusal(ConfigError, "prepare", "digits", "-o", out, "--set", "image_pix=3")
    assert not out.exists()


def test_a_trainjob_is_the_same_command(capsys, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("architecture: hf_encoder\naugment: false\ndropout: none\nepochs: 9\n")
    job = rendered(capsys, "--family", "nlp", "--recipe", recipe, "--set", "epochs=2", "--nodes", 2, "--gpus-per-node", 4)
    assert (job["kind"], job["metadata"]["name"]) == ("TrainJob", "texts")
    trainer = job["spec"]["trainer"]
    assert (trainer["image"], trainer["numNodes"], trainer["numProcPerNode"]) == (IMAGE, 2, 4)
    sets = {a for flag, a in zip(trainer["args"], trainer["args"][1:], strict=False) if flag == "--set"}
    assert sets == {"architecture=hf_encoder", "augment=false", "dropout=none", "epochs=2"}


def test_image_and_gpus_of_a_trainjob_come_from_the_settings_of_pipelines(capsys, monkeypatch):
    monkeypatch.setenv("SLIPWAY_TRAIN_IMAGE", IMAGE.replace("a" * 64, "b" * 64))
    monkeypatch.setenv("SLIPWAY_GPU", "nvidia.com/mig-1g.10gb=2")
    job = rendered(capsys, "--image", "", "--family", "cv")
    assert job["spec"]["trainer"]["image"].endswith("b" * 64)
    assert job["spec"]["trainer"]["resourcesPerNode"]["limits"]["nvidia.com/mig-1g.10gb"] == "2"


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        (ConfigError, ["--family", "cv", "--set", "epoch=3"], "did you mean 'epochs'"),
        (ConfigError, ["--family", "cv", "--set", "epochs=none"], "epochs: must be a whole number"),
        (ConfigError, ["--family", "cv", "--set", "workers=2"], "--nodes and --gpus-per-node"),
        (ConfigError, ["--family", "nlp", "--nodes", "2"], "trains in one process"),
        (ConfigError, ["--family", "cv", "-o", "out"], "give s3://bucket/path"),
    ],
)
def test_a_trainjob_that_would_fail_is_not_rendered(kind, arguments, words):
    assert words in refusal(kind, "train", *CLUSTER, *arguments)


def test_a_trainjob_needs_its_family_where_the_store_is_out_of_reach(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    assert "--family" in refusal(StoreError, "train", *CLUSTER)


@pytest.mark.integration
def test_data_and_checkpoint_lie_in_a_store(capsys, s3_bucket, monkeypatch, tmp_path):  # noqa: F811
    from slipway.store.uri import fetch

    monkeypatch.setenv("SLIPWAY_STORE", f"s3://{s3_bucket}/store")
    data, out = f"s3://{s3_bucket}/data/reviews", f"s3://{s3_bucket}/checkpoints/reviews"
    prepared = result(capsys, "prepare", "reviews", "-o", data, "--set", "size=120")
    assert prepared["dataset"] == data
    assert result(capsys, "prepare", "reviews", "-o", data, "--set", "size=120") == prepared, "twice is once"
    made = result(capsys, "train", data, "-o", out)
    assert files.verify(fetch(out, tmp_path / "fetched")).digest == made["digest"]
    assert "choose another name" in refusal(ConflictError, "train", data, "-o", out)
    job = ["train", data, "-o", out, "--trainjob", "reviews", "--image", IMAGE]
    assert "trains in one process" in refusal(ConfigError, *job, "--nodes", 2), "the store says that these are texts"
