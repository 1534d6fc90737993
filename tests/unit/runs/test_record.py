"""The run record: what each step leaves in the store."""

import pytest

from slipway.errors import ConfigError, DataError, NotFoundError, StoreError
from slipway.runs import record
from slipway.store.uri import open_store


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "store"))


def step(store, name="train", run_id="cv-1"):
    return record.step_record(store, run_id, name, inputs={"dataset": "d1"}, parameters={"epochs": 3})


def test_a_step_is_running_then_succeeded(store):
    with step(store) as entry:
        assert record.read(store, "cv-1")["train"]["status"] == "running"
        entry.outputs["checkpoint"] = "c1"
        entry.metrics["accuracy"] = 0.5
        entry.results["reasons"] = ["because"]
    written = record.read(store, "cv-1")["train"]
    assert written["status"] == "succeeded"
    assert written["inputs"] == {"dataset": "d1"}
    assert written["parameters"] == {"epochs": 3}
    assert (written["outputs"], written["metrics"]) == ({"checkpoint": "c1"}, {"accuracy": 0.5})
    assert written["results"] == {"reasons": ["because"]}
    assert written["seconds"] >= 0
    assert written["environment"]["python"]


def test_a_failed_step_keeps_its_error_on_one_line(store):
    with pytest.raises(DataError), step(store):
        raise DataError("labels.csv: no column 'label'\nsecond line")
    error = record.read(store, "cv-1")["train"]["error"]
    assert error == {"type": "DataError", "message": "labels.csv: no column 'label'"}


def test_a_bug_keeps_its_traceback(store):
    with pytest.raises(KeyError), step(store):
        raise KeyError("x")
    error = record.read(store, "cv-1")["train"]["error"]
    assert error["type"] == "KeyError"
    assert "test_record.py" in error["traceback"]


def test_attempts_are_counted_and_the_last_one_stands(store):
    with pytest.raises(DataError), step(store):
        raise DataError("first")
    with step(store):
        pass
    entry = record.read(store, "cv-1")["train"]
    assert (entry["attempt"], entry["status"]) == (2, "succeeded")
    assert "error" not in entry


def test_the_run_is_the_union_of_its_steps(store):
    for name in ("prepare_data", "train"):
        with step(store, name):
            pass
    with pytest.raises(DataError), step(store, "evaluate"):
        raise DataError("no")
    with step(store, "prepare_data", run_id="nlp-1"):
        pass
    first, second = record.list_runs(store)
    assert (first.run_id, first.status, first.steps) == ("cv-1", "failed", ("prepare_data", "train", "evaluate"))
    assert (second.run_id, second.status) == ("nlp-1", "succeeded")


def test_a_store_that_fails_does_not_hide_the_steps_error(store, monkeypatch):
    def down(*_):
        raise StoreError("the store does not answer")

    def failing_step():
        with step(store):
            monkeypatch.setattr(store, "put_bytes", down)
            raise DataError("broken")

    with pytest.raises(DataError, match="broken") as caught:
        failing_step()
    assert "the store does not answer" in caught.value.__notes__[0]


def test_an_unknown_run_names_the_latest(store):
    with pytest.raises(NotFoundError, match="there are no runs"):
        record.read(store, "cv-1")
    with step(store):
        pass
    with pytest.raises(NotFoundError, match="the latest are cv-1"):
        record.read(store, "cv-2")
    assert record.peek(store, "cv-2") == {}


@pytest.mark.parametrize("name", ["../x", "", ".hidden", "a/b"])
def test_a_run_id_is_a_file_name(store, name):
    with pytest.raises(ConfigError, match="must be 1 to 128"), step(store, run_id=name):
        pass
