"""What the loop does beside stepping: parts of a batch, averages, stopping, keeping the state, telling what went wrong."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from slipway.errors import ConfigError
from slipway.store import files
from slipway.store.uri import open_store
from slipway.training import loop
from slipway.training.train import train
from tests.helpers import datasets
from tests.helpers.training import config


def best(path):
    return json.loads((path / "model.json").read_text())["best"]


def test_a_batch_in_parts_gives_the_gradient_of_the_whole(tmp_path):
    dataset = datasets.images(tmp_path / "data")
    plain = {"augment": False, "optimizer": "sgd", "epochs": 1}
    paths = [train(dataset, config("lenet5", tmp_path, **plain, accumulate=parts), tmp_path / str(parts)) for parts in (1, 3)]
    whole, parts = (load_file(path / "weights.safetensors") for path in paths)
    for name, expected in whole.items():
        np.testing.assert_allclose(parts[name], expected, rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_average_of_the_weights_is_what_is_validated_and_kept(tmp_path):
    dataset = datasets.images(tmp_path / "data")
    plain = {"epochs": 3, "learning_rate": 0.02}
    averaged, last = (
        train(dataset, config("custom_cnn", tmp_path, **plain, ema=ema), tmp_path / str(ema)) for ema in (0.9, 0.0)
    )
    assert files.sha256_file(averaged / "weights.safetensors") != files.sha256_file(last / "weights.safetensors")
    from slipway.models.restore import restore

    logits_NK = restore(averaged).logits({"image": dataset.arrays("validation")[0]})
    right = (logits_NK.argmax(axis=1) == dataset.label_indices("validation")).mean()
    assert right == pytest.approx(best(averaged)["val_accuracy"])


def test_training_stops_when_validation_no_longer_gets_better(tmp_path):
    dataset = datasets.images(tmp_path / "data")
    seen = []
    settings = config("lenet5", tmp_path, epochs=20, learning_rate=1e-30, patience=2)
    out = train(dataset, settings, tmp_path / "out", on_epoch=seen.append)
    assert [record.epoch for record in seen] == [1, 2, 3]
    assert best(out)["epoch"] == 1


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9, "optimizer": "muon", "precision": "bf16", "mixup": 0.2}])
def test_a_run_that_ends_within_an_epoch_goes_on_from_the_step(tmp_path, monkeypatch, changes):
    dataset = datasets.images(tmp_path / "data")
    settings = config("custom_cnn", tmp_path, **changes)
    whole = train(dataset, settings, tmp_path / "whole")
    store = open_store(str(tmp_path / "store"))
    monkeypatch.setattr(loop, "KEEP_EVERY_S", 0.0)  # after every step
    writes, put = [], store.put_bytes

    def dies_after_seven(key, data):
        put(key, data)
        writes.append(key)
        if len(writes) == 7:  # in the second epoch of five steps each
            raise KeyboardInterrupt

    monkeypatch.setattr(store, "put_bytes", dies_after_seven)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, settings, tmp_path / "out", store=store)
    steps = []
    monkeypatch.setattr(loop.Progress, "step", lambda _self, epoch, step, *_rest: steps.append((epoch, step)))
    train(dataset, settings, tmp_path / "out", store=store)
    assert steps == [(2, 3), (2, 4), (2, 5)]
    assert files.read_manifest(tmp_path / "out").digest == files.read_manifest(whole).digest


LIMITED = """
import resource, sys
from pathlib import Path
import torch
from slipway.data.dataset import Dataset
from slipway.errors import SlipwayError
from slipway.store.uri import open_store
from slipway.training.train import train
from tests.helpers.training import config
base, kind, changes = Path(sys.argv[1]), sys.argv[2], eval(sys.argv[3])
settings, dataset = config("custom_cnn", base, **changes), Dataset.load(base / "data")
train(dataset, config("custom_cnn", base, epochs=1), base / "warm")
if kind == "memory":
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20, -1))
def limit(record):
    if kind == "disk" and record.epoch == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, -1))
try:
    train(dataset, settings, base / "out", store=open_store(str(base / "store")), on_epoch=limit)
except SlipwayError as exc:
    print(f"{type(exc).__name__}: {exc}")
"""


def limited(tmp_path, kind, **changes):
    command = [sys.executable, "-c", LIMITED, str(tmp_path), kind, repr(changes)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."}, timeout=120)


def test_too_little_memory_names_the_batch_and_a_smaller_one(tmp_path):
    datasets.images(tmp_path / "data", count=600)
    done = limited(tmp_path, "memory", width=0.5, batch_size=360)
    assert done.stdout.startswith("ConfigError: training: out of memory on cpu with batch_size 360"), done.stderr
    assert "batch_size=180" in done.stdout


def test_a_full_disk_leaves_the_last_good_state_and_the_same_call_goes_on(tmp_path):
    dataset = datasets.images(tmp_path / "data")
    done = limited(tmp_path, "disk", epochs=3)
    assert done.stdout.startswith("StoreError: training: epoch 2: the state could not be kept"), done.stderr
    resumed = []
    settings = config("custom_cnn", tmp_path, epochs=3)
    train(dataset, settings, tmp_path / "out", store=open_store(str(tmp_path / "store")), on_epoch=resumed.append)
    assert [record.epoch for record in resumed] == [2, 3]


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixing_one_class_is_refused(tmp_path, name):
    from slipway.training.objective import Objective

    with pytest.raises(ConfigError, match="all of one class; there is nothing to mix"):
        Objective(np.zeros(9, np.int64), 2, config("custom_cnn", tmp_path, **{name: 1.0}), soft_NK=None)


def test_rare_classes_weigh_more(tmp_path):
    import torch

    from slipway.training.objective import Objective

    labels_N = np.array([0] * 9 + [1])
    objective = Objective(labels_N, 2, config("lenet5", tmp_path, class_weights=True, label_smoothing=0.0), soft_NK=None)
    logits_BK = torch.zeros(1, 2)
    losses = [objective.total(logits_BK, torch.tensor([k]), None).item() for k in (0, 1)]
    assert losses[1] / losses[0] == pytest.approx(9)
    everything = objective.total(torch.zeros(10, 2), torch.from_numpy(labels_N), None).item()
    assert everything == pytest.approx(10 * np.log(2)), "the weights keep the loss's scale"


def test_tensorboard_files_hold_each_epoch(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tmp_path / "board"
    train(datasets.images(tmp_path / "data"), config("lenet5", tmp_path, tensorboard=str(folder)), tmp_path / "out")
    events = EventAccumulator(str(folder)).Reload()
    assert [scalar.step for scalar in events.Scalars("val_accuracy")] == [1, 2]
    assert str(folder) not in (tmp_path / "out/model.json").read_text(), "where one watches is no part of the model"
