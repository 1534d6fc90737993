import json
import os
import subprocess
import sys

import numpy as np
import pytest

from slipway.errors import ConfigError, DataError
from slipway.models.architectures import ARCHITECTURES
from slipway.models.restore import restore
from slipway.store import files
from slipway.training.train import train
from tests.helpers import datasets
from tests.helpers.training import config

NETWORKS = [name for name, entry in ARCHITECTURES.items() if entry.input != "tfidf" and name != "resnet18"]
ALL = [pytest.param(name, marks=pytest.mark.slow) if name == "resnet18" else name for name in ARCHITECTURES]


@pytest.mark.parametrize("name", ALL)
def test_every_architecture_trains_to_a_checkpoint_that_answers(name, tmp_path):
    dataset = datasets.of_family(ARCHITECTURES[name].family, tmp_path / "data")
    seen = []
    out = train(dataset, config(name, tmp_path), tmp_path / "out", on_epoch=seen.append)
    files.verify(out)
    meta = json.loads((out / "model.json").read_text())
    assert [r.epoch for r in seen] == [e["epoch"] for e in meta["history"]]
    assert meta["best"] in meta["history"]
    assert meta["data"]["fingerprint"] == dataset.fingerprint
    assert (np.load(out / "train_items.npy") == np.sort(dataset.item_hashes("train"))).all()
    restored = restore(out)
    raw = dataset.raw("test")[:3]
    assert restored.logits(restored.preprocess.encode(raw)).shape == (3, len(dataset.labels))


@pytest.mark.parametrize("name", ["custom_cnn", "defect_small", "tfidf_logreg"])
def test_equal_seeds_give_equal_checkpoints(name, tmp_path):
    dataset = datasets.of_family(ARCHITECTURES[name].family, tmp_path / "data")
    digests = [
        files.read_manifest(train(dataset, config(name, tmp_path), tmp_path / out)).digest for out in ("first", "second")
    ]
    assert digests[0] == digests[1]


def test_another_seed_gives_other_weights(tmp_path):
    dataset = datasets.images(tmp_path / "data")
    sums = {
        files.sha256_file(
            train(dataset, config("custom_cnn", tmp_path, seed=seed), tmp_path / str(seed)) / "weights.safetensors"
        )
        for seed in (0, 1)
    }
    assert len(sums) == 2


@pytest.mark.parametrize(("optimizer", "precision"), [("sgd", "fp32"), ("adamw", "bf16")])
def test_a_coloured_data_set_is_learnt(tmp_path, optimizer, precision):
    dataset = datasets.images(tmp_path / "data", count=90)
    rate = 0.05 if optimizer == "sgd" else 0.01
    settings = config("custom_cnn", tmp_path, optimizer=optimizer, precision=precision, learning_rate=rate, epochs=4)
    out = train(dataset, settings, tmp_path / "out")
    assert json.loads((out / "model.json").read_text())["best"]["val_accuracy"] > 0.9


def test_the_best_epoch_is_kept_not_the_last(tmp_path):
    dataset = datasets.images(tmp_path / "data")
    records = []
    settings = config("custom_cnn", tmp_path, epochs=4, select_by="accuracy")
    meta = json.loads((train(dataset, settings, tmp_path / "out", on_epoch=records.append) / "model.json").read_text())
    best = max(records, key=lambda r: (r.val_accuracy, -r.epoch))
    assert meta["best"]["epoch"] == best.epoch


def test_a_loss_that_is_no_number_stops_at_once_and_names_the_step(tmp_path):
    dataset = datasets.images(tmp_path / "data")
    expected = r"loss became (nan|inf) in epoch 1, step \d of 5; no epoch had ended; lower learning_rate"
    with pytest.raises(ConfigError, match=expected):
        train(dataset, config("custom_cnn", tmp_path, learning_rate=1e30, warmup=0.0, clip_norm=0.0), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    dataset = datasets.images(tmp_path / "data")
    with pytest.raises(ConfigError, match=r"batch_size: 500 is more than the \d+ training items"):
        train(dataset, config("custom_cnn", tmp_path, batch_size=500), tmp_path / "out")


@pytest.mark.slow
def test_a_width_that_an_architecture_does_not_have_is_left_out_and_told(tmp_path, capfd):
    dataset = datasets.images(tmp_path / "data")
    meta = (train(dataset, config("resnet18", tmp_path, epochs=1, width=0.5), tmp_path / "out") / "model.json").read_text()
    assert json.loads(meta)["options"] == {}
    assert "resnet18: has no width to set" in capfd.readouterr().err


def test_data_of_another_family_is_refused(tmp_path):
    with pytest.raises(DataError, match="prepared for family cv, not defect"):
        train(datasets.images(tmp_path / "data"), config("defect_small", tmp_path), tmp_path / "out")


def test_progress_tells_epoch_loss_accuracy_rate_and_time_left(tmp_path, capfd):
    train(datasets.images(tmp_path / "data"), config("custom_cnn", tmp_path), tmp_path / "out")
    captured = capfd.readouterr()
    assert captured.out == ""
    last = [line for line in captured.err.splitlines() if line.startswith("epoch ")][-1]
    for part in ("epoch 2/2", "loss", "val accuracy", "items/s", "0 s left"):
        assert part in last


@pytest.mark.parametrize("name", ["custom_cnn", "hf_encoder"])
def test_torchs_switches_are_put_back(name, tmp_path):
    import torch

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    dataset = datasets.of_family(ARCHITECTURES[name].family, tmp_path / "data")
    train(dataset, config(name, tmp_path, epochs=1), tmp_path / "out")
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before


@pytest.mark.parametrize(("name", "absent"), [("custom_cnn", ["torch._dynamo", "torchvision"]), ("tfidf_logreg", ["torch"])])
def test_training_does_not_wait_for_libraries_it_does_not_need(name, absent, tmp_path):
    datasets.of_family(ARCHITECTURES[name].family, tmp_path / "data")
    code = f"""
import sys
from pathlib import Path
from slipway.data.dataset import Dataset
from slipway.training.train import train
from tests.helpers.training import config
base = Path(sys.argv[1])
train(Dataset.load(base / "data"), config({name!r}, base, epochs=1), base / "out")
print([m for m in {absent!r} if m in sys.modules])
"""
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."})
    assert done.stdout == "[]\n", done.stderr
