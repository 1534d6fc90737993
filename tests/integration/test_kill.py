"""Kill any step, at any moment: nothing half-written is visible, and running it again gives what a quiet run gives."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slipway import settings
from slipway.store import files
from slipway.tracking import registry

pytestmark = [pytest.mark.integration, pytest.mark.slow]
RUN, MODEL = "run-1", "kill-test"
DEADLINE_S = 120
TRAIN = {
    "architecture": "defect_small", "epochs": 8, "batch_size": 16, "learning_rate": 0.002, "weight_decay": 0.01,
    "label_smoothing": 0.0, "augment": True, "precision": "fp32", "device": "cpu", "deterministic": True, "seed": 0,
}  # fmt: skip
PREPARE = {
    "family": "defect", "dataset": "steel", "data": "", "size": 400, "image_px": 32, "text_column": "", "label_column": "",
    "slice_columns": "", "train_fraction": 0.8, "validation_fraction": 0.1, "seed": 0,
}  # fmt: skip
GATE = {"min_accuracy": 0.0, "min_class_recall": 0.0, "max_accuracy_drop": 0.5, "min_test_items": 1}
OUTPUTS = {
    "prepare_data": "dataset", "train": "checkpoint", "export_onnx": "bundle", "evaluate": "scores", "gate": "verdict",
    "register_model": None, "deploy_model": None,
}  # fmt: skip


def arguments(step: str, folder: Path) -> dict:
    """Keyword arguments of a step whose inputs and outputs lie in `folder`."""
    at = {name: str(folder / name) for name in OUTPUTS.values() if name}
    specific = {
        "prepare_data": {**PREPARE, "checked": str(folder / "checked")},
        "train": {"dataset": at["dataset"], "model_name": MODEL, **TRAIN},
        "export_onnx": {"checkpoint": at["checkpoint"], "dataset": at["dataset"]},
        "evaluate": {"bundle": at["bundle"], "dataset": at["dataset"], "model_name": MODEL},
        "gate": {
            "scores": at["scores"], "bundle": at["bundle"], "checkpoint": at["checkpoint"], "dataset": at["dataset"],
            "checked": str(folder / "checked"), "page": str(folder / "report.html"), "model_name": MODEL, **GATE,
        },
        "register_model": {
            "bundle": at["bundle"], "scores": at["scores"], "verdict": at["verdict"], "model_name": MODEL, "promote": True,
        },
        "deploy_model": {"dataset": at["dataset"], "scores": at["scores"], "model_name": MODEL, "namespace": ""},
    }[step]  # fmt: skip
    if step == "deploy_model":
        specific["release"] = registry.resolve(MODEL).release_uri
    out = {"out": at[OUTPUTS[step]]} if OUTPUTS[step] else {}
    return {**specific, **out, "run_id": RUN}


def start(step: str, folder: Path, *extra: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.helpers.stepper", step, json.dumps(arguments(step, folder)), *extra]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    return out


def digests(folder: Path) -> dict[str, str]:
    return {name: files.verify(folder / name).digest for name in OUTPUTS.values() if name}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A run without kills: its folder, seconds of each step, digests of its outputs and of its release."""
    base = tmp_path_factory.mktemp("quiet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLIPWAY_HOME", str(base / "home"))
        seconds = {}
        for step in OUTPUTS:
            started = time.monotonic()
            finish(start(step, base))
            seconds[step] = time.monotonic() - started
        release = registry.resolve(MODEL).release_digest
    return base, seconds, digests(base), release


def assert_nothing_half_written(folder: Path) -> None:
    """What can be seen is complete: every output, and every artifact of the store that has a manifest."""
    for name in OUTPUTS.values():
        if name and (folder / name).exists():
            files.verify(folder / name)
    store = Path(settings.load().store)
    for kind in ("models", "evaluations"):
        for artifact in (store / kind).glob("*/*"):
            if not artifact.name.startswith("."):
                files.verify(artifact)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_killed_at_a_random_moment_of_every_step_the_digests_are_those_of_a_quiet_run(quiet, tmp_path, seed):
    _, seconds, expected, release = quiet
    rng = random.Random(seed)
    for step in OUTPUTS:
        process = start(step, tmp_path)
        try:
            process.wait(timeout=rng.uniform(0.1, 0.95) * seconds[step])
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert_nothing_half_written(tmp_path)
        finish(start(step, tmp_path))
    assert digests(tmp_path) == expected
    assert registry.resolve(MODEL).release_digest == release


@pytest.mark.parametrize("step", OUTPUTS)
def test_killed_inside_every_rename_of_a_step_the_digests_are_those_of_a_quiet_run(quiet, tmp_path, monkeypatch, step):
    """Renames are counted up until the step survives; each of them was a moment of becoming visible."""
    base, _, expected, _ = quiet
    for name in [*list(OUTPUTS.values())[: list(OUTPUTS).index(step)], *(["checked"] if step == "gate" else [])]:
        if name:
            shutil.copytree(base / name, tmp_path / name)
    if step == "deploy_model":  # wants a registered release
        monkeypatch.setenv("SLIPWAY_HOME", str(base / "home"))
    kills = 0
    while True:
        process = start(step, tmp_path, str(kills + 1))
        _, err = process.communicate(timeout=DEADLINE_S)
        assert_nothing_half_written(tmp_path)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, err
        kills += 1
        assert kills < 60, "the step never gets past its renames"
    assert kills >= 1
    if OUTPUTS[step]:
        assert files.verify(tmp_path / OUTPUTS[step]).digest == expected[OUTPUTS[step]]
