"""One MLflow run per Slipway run, whichever process writes to it."""

import subprocess
import sys
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from slipway import settings
from slipway.errors import ConfigError, ConflictError, NotFoundError, TrackingError
from slipway.tracking import client
from slipway.tracking.runs import finish, open_run

pytestmark = [pytest.mark.usefixtures("empty_cwd")]


def mlflow_run(settings, run):
    return client.connect(settings.tracking_uri).get_run(run.id)


def test_steps_of_a_run_share_one_mlflow_run(own):
    with open_run("r-1", name="cv-digits", settings=own) as first:
        first.log_params({"epochs": 3, "lr": 0.1, "augment": True, "pretrained": ""})
        first.log_metrics({"accuracy": 0.9, "recall/naïve, or not?": np.float32(0.5)})
    with open_run("r-1", name="other", settings=own) as second:
        second.log_metrics({"accuracy": 0.95}, step=1)
        second.set_tags({"slipway.verdict": "pass"})
    with open_run("r-2", name="cv-digits", settings=own) as other:
        pass
    assert first.id == second.id != other.id
    stored = mlflow_run(own, first)
    assert stored.info.run_name == "cv-digits"
    assert stored.data.params == {"epochs": "3", "lr": "0.1", "augment": "True", "pretrained": ""}
    assert stored.data.metrics == {"accuracy": 0.95, "recall/naïve_ or not_": 0.5}
    assert stored.data.tags["slipway.verdict"] == "pass"
    assert stored.info.status == "RUNNING"
    finish("r-1", settings=own)
    finish("r-2", "FAILED", settings=own)
    finish("r-3", settings=own)
    assert [mlflow_run(own, r).info.status for r in (first, other)] == ["FINISHED", "FAILED"]


def test_history_goes_in_with_epochs_as_steps(own):
    history = [{"epoch": e, "loss": 1 / (e + 1), "note": "text", "nothing": None} for e in range(400)]
    with open_run("r", name="n", settings=own) as run:
        run.log_history([{**h, "more": 2, "still_more": float("nan")} for h in history])
    c = client.connect(own.tracking_uri)
    stored = c.get_metric_history(run.id, "loss")
    assert [(m.step, m.value) for m in stored] == [(h["epoch"], h["loss"]) for h in history]
    assert set(c.get_run(run.id).data.metrics) == {"loss", "more", "still_more"}


def test_files_land_below_the_home(own, tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report/index.html").write_text("<p>")
    with open_run("r", name="n", settings=own) as run:
        run.log_files(tmp_path / "report", "evaluation")
        run.log_files(tmp_path / "report/index.html")
        with pytest.raises(NotFoundError, match="nothing: no such file or directory to log"):
            run.log_files(tmp_path / "nothing")
    root = unquote(urlsplit(mlflow_run(own, run).info.artifact_uri).path)
    assert root.startswith(str(own.home / "mlartifacts"))
    assert sorted(p.name for p in (own.home / "mlartifacts").rglob("*.html")) == ["index.html"] * 2


def test_parameter_written_twice_must_agree(own):
    with open_run("r", name="n", settings=own) as run:
        run.log_params({"epochs": 3})
        run.log_params({"epochs": 3})
        with pytest.raises(ConflictError, match="parameters are written once; start another run") as caught:
            run.log_params({"epochs": 4})
    assert "\n" not in str(caught.value)


def test_run_that_the_environment_names_is_adopted(own, monkeypatch):
    c = client.connect(own.tracking_uri)
    theirs = c.create_run(c.create_experiment("theirs", artifact_location=own.home.as_uri())).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", theirs)
    with open_run("r", name="n", settings=own) as run:
        run.log_metrics({"accuracy": 1.0})
    finish("r", settings=own)
    assert run.id == theirs
    assert c.get_experiment_by_name("slipway") is None, "an adopted run must not have a twin"
    assert mlflow_run(own, run).info.status == "RUNNING", "its owner ends it"
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(NotFoundError, match="MLFLOW_RUN_ID: no run '0000"), open_run("r", name="n", settings=own):
        pass


def test_deleted_experiment_says_how_to_restore_it(own):
    with open_run("r", name="n", settings=own):
        pass
    c = client.connect(own.tracking_uri)
    c.delete_experiment(c.get_experiment_by_name("slipway").experiment_id)
    with (
        pytest.raises(TrackingError, match="was deleted; mlflow experiments restore --experiment-id 1"),
        open_run("r2", name="n", settings=own),
    ):
        pass


@pytest.mark.parametrize("run_id", ["", "a b", "x' or '1'='1"])
def test_run_id_that_is_no_name_is_refused(own, run_id):
    with pytest.raises(ConfigError, match="only letters, digits"), open_run(run_id, name="n", settings=own):
        pass


WRITER = """
import sys
from slipway.tracking import registry
from slipway.tracking.runs import finish, open_run
run_id, model = sys.argv[1:3]
for i in range(15):
    with open_run(run_id, name="n") as run:
        run.log_params({f"p{i}": i})
        run.log_history([{"epoch": e, "loss": e} for e in range(50)])
version = registry.register(model, release_uri="/r/" + run_id, release_digest=run_id, bundle_digest="b", run_id=run_id,
                            accuracy=0.5, expected_champion=None)
finish(run_id)
print(version.version)
"""


@pytest.mark.slow
def test_processes_write_to_a_new_database_at_once(home):
    ids = ["a", "b", "c", "c", "c"]  # steps of one run that start at once, too
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, i, f"model-{i}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for i in ids
    ]
    try:
        for process in processes:
            out, err = process.communicate(timeout=120)
            assert (process.returncode, out, err) == (0, "1\n", "")
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    own = settings.load()
    c = client.connect(own.tracking_uri)
    runs = c.search_runs([c.get_experiment_by_name("slipway").experiment_id])
    assert len(runs) == 3
    assert {len(r.data.params) for r in runs} == {15}


def test_first_use_of_a_new_database_is_silent(home):
    code = "from slipway.tracking.runs import open_run\nwith open_run('r', name='n') as run: run.log_metrics({'a': 1})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
