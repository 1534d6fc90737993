"""Candidates side by side: nothing is done twice, one that fails does not end the others."""

import csv
import json
import subprocess
import sys

import pytest

from slipway import settings
from slipway.errors import ConfigError, ConflictError
from slipway.search import compare as compare_
from slipway.search.folder import claimed
from slipway.training.recipe import TrainConfig
from tests.helpers.training import config


def words(**changes) -> TrainConfig:
    return TrainConfig(family="nlp", architecture="tfidf_logreg", threads=1, device="cpu", **changes)


def compared(dataset, candidates, folder, here, *, seeds=1, test=False):
    return compare_.compare(dataset, candidates, folder, seeds=seeds, test=test, settings=here)


@pytest.fixture(scope="module")
def mixed(images, tmp_path_factory):
    """A comparison of one that trains, with two seeds, and one that cannot; its folder."""
    base = tmp_path_factory.mktemp("mixed")
    found = {"greedy": config("lenet5", base, batch_size=500), "good": config("lenet5", base, epochs=1)}
    return compared(images, found, base / "out", settings.load({"SLIPWAY_HOME": str(base)}), seeds=2), base / "out"


def test_a_comparison_is_a_table_a_json_file_and_a_picture(images, mixed):
    made, folder = mixed
    with (folder / "compare.csv").open() as f:
        table = list(csv.DictReader(f))
    assert tuple(table[0]) == compare_.COLUMNS
    assert [row["candidate"] for row in table] == ["good", "greedy"]
    assert json.loads((folder / "compare.json").read_text()) == made.json()
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    row = made.rows[0]
    assert 0 <= row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"] <= 1
    assert row["n"] == len(images.label_indices("validation"))
    assert row["parameters"] == sum((456, 2416, 48120, 10164, 255))  # convolutions, dense layers, three classes
    assert 0 < row["cpu_ms"] <= row["cpu_p90_ms"]
    assert row["train_s"] > 0
    assert row["bundle_mb"] > 0
    assert "validation split" in made.title


def test_several_seeds_give_a_mean_and_a_spread(mixed):
    made, folder = mixed
    single = [json.loads((folder / "good" / f"seed-{seed}" / "result.json").read_text())["accuracy"] for seed in (0, 1)]
    assert made.rows[0]["accuracy"] == pytest.approx(sum(single) / 2)
    assert made.rows[0]["accuracy_sd"] == pytest.approx(abs(single[0] - single[1]) / 2**0.5)
    assert made.rows[0]["seeds"] == 2


def test_a_failing_candidate_does_not_end_the_others(mixed):
    made, _ = mixed
    good, failed = made.rows
    assert good["error"] == ""
    assert failed["error"].startswith("batch_size: 500 is more than")
    assert failed["accuracy"] is None
    assert [type(exc) for exc in made.failures] == [ConfigError]


def test_what_is_done_is_not_done_again_and_what_changed_is(texts, tmp_path, here):
    first = compared(texts, {"a": words()}, tmp_path, here)
    kept = (tmp_path / "a" / "seed-0" / "result.json").read_bytes()
    again = compared(texts, {"a": words(), "b": words(ngrams=1)}, tmp_path, here)
    assert next(row for row in again.rows if row["candidate"] == "a") == first.rows[0]
    assert (tmp_path / "a" / "seed-0" / "result.json").read_bytes() == kept  # its times are those of the first call
    compared(texts, {"a": words(max_features=5)}, tmp_path, here)
    assert (tmp_path / "a" / "seed-0" / "result.json").read_bytes() != kept


def test_an_interrupted_candidate_goes_on_after_its_last_stage(texts, tmp_path, here):
    compared(texts, {"a": words()}, tmp_path, here)
    folder = tmp_path / "a" / "seed-0"
    trained = (folder / "checkpoint" / "timings.json").read_bytes()
    exported = (folder / "bundle" / "MANIFEST.json").read_bytes()
    (folder / "result.json").unlink()
    (folder / "bundle" / "MANIFEST.json").unlink()
    compared(texts, {"a": words()}, tmp_path, here)
    assert (folder / "checkpoint" / "timings.json").read_bytes() == trained
    assert json.loads((folder / "bundle" / "MANIFEST.json").read_bytes())["digest"] == json.loads(exported)["digest"]


def test_an_error_that_is_not_ours_leaves_its_traceback(texts, tmp_path, here):
    (tmp_path / "a" / "seed-0").mkdir(parents=True)
    (tmp_path / "a" / "seed-0" / "bundle").write_text("a file where a folder goes")
    (tmp_path / "a" / "seed-0" / "key.json").mkdir()
    made = compared(texts, {"a": words()}, tmp_path, here)
    assert made.rows[0]["error"].startswith("IsADirectoryError")
    assert "Traceback" in (tmp_path / "a" / "seed-0" / "error.txt").read_text()


def test_the_test_split_is_read_only_where_it_is_asked_for(texts, tmp_path, here):
    made = compared(texts, {"a": words()}, tmp_path, here, test=True)
    assert made.rows[0]["n"] == len(texts.label_indices("test"))
    assert "TEST split" in made.title


def test_another_process_in_the_folder_is_refused_and_a_killed_one_leaves_it_free(tmp_path):
    code = f"""
import sys
from pathlib import Path
from slipway.search.folder import claimed
with claimed(Path({str(tmp_path)!r})):
    print("in", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "in\n"
        refused = pytest.raises(ConflictError, match="another process works in it; wait for it, or choose another -o")
        with refused, claimed(tmp_path):
            pass
        other.kill()
    with claimed(tmp_path) as folder:
        assert folder == tmp_path
