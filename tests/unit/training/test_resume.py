import os
import signal
import subprocess
import sys

import pytest

from slipway.data.dataset import Dataset
from slipway.store import files
from slipway.store.uri import open_store
from slipway.training.train import train
from tests.helpers import datasets
from tests.helpers.training import config

VICTIM = """
import sys
from pathlib import Path
from slipway.data.dataset import Dataset
from slipway.store.uri import open_store
from slipway.training.train import train
from tests.helpers.training import config

base, name, changes = Path(sys.argv[1]), sys.argv[2], eval(sys.argv[3])
train(Dataset.load(base / "data"), config(name, base, **changes), base / "out", store=open_store(str(base / "store")))
"""


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("custom_cnn", {"epochs": 5}),
        pytest.param("custom_cnn", {"epochs": 5, "optimizer": "sgd", "precision": "bf16"}, marks=pytest.mark.slow),
        ("hf_encoder", {"epochs": 5}),
    ],
)
def test_a_killed_run_goes_on_and_ends_with_the_bits_of_an_uninterrupted_one(name, changes, tmp_path):
    dataset = datasets.of_family("nlp" if name == "hf_encoder" else "cv", tmp_path / "data")
    settings = config(name, tmp_path, **changes)
    whole = train(dataset, settings, tmp_path / "whole")
    command = [sys.executable, "-c", VICTIM, str(tmp_path), name, repr(changes)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."}) as victim:
        for line in victim.stderr:
            if line.startswith("epoch 3/"):  # its state may or may not be kept yet: both must do
                victim.send_signal(signal.SIGKILL)
                break
        assert victim.wait() == -signal.SIGKILL, victim.stderr.read()
    assert not (tmp_path / "out").exists()
    store = open_store(str(tmp_path / "store"))
    assert store.keys("checkpoints")
    resumed = []
    out = train(Dataset.load(tmp_path / "data"), settings, tmp_path / "out", store=store, on_epoch=resumed.append)
    assert [record.epoch for record in resumed] in ([3, 4, 5], [4, 5])
    assert files.read_manifest(out).digest == files.read_manifest(whole).digest
    assert not store.keys("checkpoints")


@pytest.mark.parametrize("changes", [{}, {"workers": 2}, {"ensemble": "custom_cnn"}])
def test_a_checkpoint_that_is_lost_on_its_way_is_written_again_without_training(changes, tmp_path):
    """As where a pod's outputs cannot be uploaded: the next attempt has the state, until somebody has the checkpoint."""
    from slipway.training.checkpoint import forget

    dataset = datasets.images(tmp_path / "data")
    settings = config("custom_cnn", tmp_path, **changes)
    store = open_store(str(tmp_path / "store"))
    first = train(dataset, settings, tmp_path / "lost", store=store, keep_state=True)
    trained = []
    again = train(dataset, settings, tmp_path / "out", store=store, keep_state=True, on_epoch=trained.append)
    assert trained == []
    digest = files.read_manifest(dataset.path).digest
    assert files.read_manifest(again).digest == files.read_manifest(first).digest
    assert store.keys("checkpoints")
    forget(again, digest, store)
    assert not store.keys("checkpoints")


def test_another_configuration_does_not_go_on_from_it(tmp_path):
    from slipway.training.checkpoint import run_key

    keys = {run_key(config("custom_cnn", tmp_path, **change), "data") for change in ({}, {"seed": 1}, {"batch_size": 9})}
    assert len(keys | {run_key(config("custom_cnn", tmp_path), "other data")}) == 4


def test_a_damaged_state_is_told_and_training_starts_anew(tmp_path, capfd):
    from slipway.training.checkpoint import run_key

    dataset = datasets.images(tmp_path / "data")
    settings = config("custom_cnn", tmp_path)
    store = open_store(str(tmp_path / "store"))
    key = run_key(settings.resolve(device="cpu", precision="fp32"), files.read_manifest(dataset.path).digest)
    store.put_bytes(f"checkpoints/{key}/state.safetensors", b"nonsense")
    seen = []
    train(dataset, settings, tmp_path / "out", store=store, on_epoch=seen.append)
    assert [record.epoch for record in seen] == [1, 2]
    assert "training starts anew" in capfd.readouterr().err
