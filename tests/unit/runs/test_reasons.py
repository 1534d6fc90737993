"""A failing step's reason where its record has none: KFP's log in the store, or the nodes of KFP's workflow."""

import json
from dataclasses import replace

import pytest

from slipway import cli
from slipway import settings as settings_
from slipway.runs import reasons, record
from slipway.store.uri import open_store
from tests.helpers.kfp_stub import KfpStub

RUN = "0b9e4b9e-6d0f-4c55-9d5c-1c7a1f0c5a11"
TRACEBACK = """epoch 1
Traceback (most recent call last):
  File "<string>", line 3, in train
slipway.errors.DataError: parts: no items in the train split
"""


@pytest.fixture
def settings(tmp_path):
    return replace(settings_.load(), store=str(tmp_path / "store"))


@pytest.fixture
def stub(tmp_path):
    with KfpStub(tmp_path / "kfp") as stub:
        yield stub


@pytest.fixture
def store(settings):
    return open_store(settings.store)


def pod(name, phase, message="", *, boundary="root", started="2026-01-01T00:00:00Z"):
    return {
        "type": "Pod", "displayName": name, "phase": phase, "message": message, "boundaryID": boundary, "startedAt": started,
    }  # fmt: skip


def task(name, phase="Failed"):
    """Every template is a retry of one attempt where KFP's settings are ours."""
    return {"type": "DAG", "displayName": f"{name}(0)", "phase": phase, "boundaryID": "root"}


def killed(store, step="train"):
    """Leave the record of a step that ended without a word."""
    entry = {"run_id": RUN, "step": step, "status": record.RUNNING, "attempt": 1, "started": "2026-01-01T00:00:00+00:00"}
    store.put_bytes(f"runs/{RUN}/{step}.json", json.dumps(entry).encode())


def test_a_killed_step_says_what_kfp_says(settings, stub, store):
    killed(store)
    stub.workflow_nodes[RUN] = {
        "root": {"type": "DAG", "displayName": "root", "phase": "Failed"},
        "t": task("train-cv"),
        "r": {"type": "Retry", "displayName": "executor", "boundaryID": "t", "phase": "Failed"},
        "p0": pod("executor(0)", "Failed", "main: Error (exit code 1)", boundary="t"),
        "p1": pod("executor(1)", "Failed", "main: OOMKilled (exit code 137)", boundary="t", started="2026-01-01T00:01:00Z"),
    }
    steps = reasons.explained(RUN, record.peek(store, RUN), replace(settings, kfp_host=stub.host))
    assert steps["train"]["status"] == "failed"
    assert steps["train"]["error"]["message"] == "main: OOMKilled (exit code 137)"


def test_a_step_that_is_tried_again_is_waited_for(settings, stub, store):
    killed(store)
    stub.workflow_nodes[RUN] = {
        "t": task("train-cv", "Running"),
        "p0": pod("executor(0)", "Error", "Pod is invalid: no", boundary="t"),
    }
    steps = reasons.explained(RUN, record.peek(store, RUN), replace(settings, kfp_host=stub.host))
    assert steps["train"]["status"] == "waiting"
    assert steps["train"]["error"]["message"] == "to be tried again after: Pod is invalid: no"


def test_where_kfp_only_says_error_the_log_says_what(settings, stub, store):
    killed(store)
    store.put_bytes(f"kfp/slipway-cv/{RUN}/train-cv/0f/executor-logs-0", TRACEBACK.encode())
    stub.workflow_nodes[RUN] = {
        "t": task("train-cv"),
        "p": pod("executor", "Failed", "main: Error (exit code 1)", boundary="t"),
    }
    for host in (stub.host, ""):
        steps = reasons.explained(RUN, record.peek(store, RUN), replace(settings, kfp_host=host))
        assert steps["train"]["error"]["message"] == "slipway.errors.DataError: parts: no items in the train split"


def test_a_log_of_an_earlier_attempt_says_nothing_of_this_one(settings, store):
    store.put_bytes(f"kfp/slipway-cv/{RUN}/train-cv/0f/executor-logs-0", TRACEBACK.encode())
    entry = {"step": "train", "status": "running", "started": "2999-01-01T00:00:00+00:00"}
    assert reasons.explained(RUN, {"train": entry}, settings) == {"train": entry}


def test_a_step_that_never_started_is_shown_with_its_reason(settings, stub, store, monkeypatch, capsys):
    with record.step_record(store, RUN, "prepare_data", inputs={}, parameters={}):
        pass
    stub.workflow_nodes[RUN] = {
        "d": pod("root-driver(0)", "Succeeded"),
        "e": task("prepare-data"),
        "pe": pod("executor", "Succeeded", boundary="e"),
        "td": pod("train-cv-driver", "Succeeded", started="2026-01-01T00:01:00Z"),
        "t": task("train-cv"),
        "tp": pod(
            "executor", "Pending", "ImagePullBackOff: Back-off pulling image", boundary="t", started="2026-01-01T00:02:00Z"
        ),
        "c": pod("condition-1-driver", "Running"),
    }
    monkeypatch.setenv("SLIPWAY_KFP_HOST", stub.host)
    monkeypatch.setenv("SLIPWAY_STORE", settings.store)
    with pytest.raises(SystemExit) as ended:
        cli.main(["show", RUN])
    assert not ended.value.code
    out = capsys.readouterr().out
    assert "prepare_data: succeeded" in out
    assert "train: waiting" in out
    assert "ImagePullBackOff: Back-off pulling image" in out
    assert "condition" not in out
    assert "root" not in out


def test_a_run_that_is_not_kfps_is_left_as_it_is(settings, stub):
    steps = {"train": {"step": "train", "status": "running"}}
    assert reasons.explained("cv-20260101-000000-abcd", steps, replace(settings, kfp_host=stub.host)) is steps
    assert stub.requests == []


def test_a_kfp_that_does_not_answer_hides_nothing(settings, store):
    killed(store)
    steps = record.peek(store, RUN)
    assert json.dumps(reasons.explained(RUN, steps, replace(settings, kfp_host="http://127.0.0.1:1"))) == json.dumps(steps)
