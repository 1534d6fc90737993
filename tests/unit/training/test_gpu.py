"""Training on a CUDA device: `pytest -m gpu` where there is one."""

import json
import subprocess

import numpy as np
import pytest
import torch

from slipway.models.architectures import ARCHITECTURES
from slipway.models.restore import restore
from slipway.store import files
from slipway.store.uri import open_store
from slipway.training import networks
from slipway.training.augment import Augment
from slipway.training.train import train
from tests.helpers import datasets
from tests.helpers.training import config
from tests.integration.test_torchrun import command
from tests.unit.training.test_augment import KINDS

DEVICE = "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
NETWORKS = [name for name, entry in ARCHITECTURES.items() if entry.input != "tfidf"]


def trained(name, tmp_path, out="out", **changes):
    """The checkpoint of a short training on the device, and its history."""
    dataset = datasets.of_family(ARCHITECTURES[name].family, tmp_path / "data")
    path = train(dataset, config(name, tmp_path, device=DEVICE, **changes), tmp_path / out)
    return path, json.loads((path / "model.json").read_text())


@pytest.mark.parametrize("name", NETWORKS)
def test_every_architecture_takes_steps_and_answers_on_the_cpu(name, tmp_path):
    path, model = trained(name, tmp_path, epochs=1, batch_size=32)
    assert model["config"]["device"] == DEVICE
    restored = restore(path)
    raw = datasets.of_family(ARCHITECTURES[name].family, tmp_path / "again").raw("test")[:3]
    assert np.isfinite(restored.logits(restored.preprocess.encode(raw))).all()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", ["fast_cnn", "resnet18"])
def test_half_precision_learns(name, precision, tmp_path):
    _, model = trained(name, tmp_path, precision=precision, epochs=5)
    losses = [epoch["train_loss"] for epoch in model["history"]]
    assert losses[-1] < losses[0]


def test_images_and_filters_are_channels_last_on_the_device(tmp_path, monkeypatch):
    seen = []
    fit = networks.loop.fit

    def spy(model, *args, **kwargs):
        state = fit(model, *args, **kwargs)
        seen.extend(p for p in model.parameters() if p.ndim == 4)
        return state

    monkeypatch.setattr(networks.loop, "fit", spy)
    trained("resnet18", tmp_path, epochs=1)
    assert seen
    assert all(p.device.type == DEVICE and p.is_contiguous(memory_format=torch.channels_last) for p in seen)


@pytest.mark.parametrize("kind", KINDS)
def test_augmentation_on_the_device_is_that_of_the_cpu(kind, tmp_path):
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (32, 24, 24, 3), dtype=np.uint8))
    augment = Augment(config("custom_cnn", tmp_path, **KINDS[kind]), (24, 24, 3))
    here, there = (
        augment(pixels.to(device), np.random.default_rng(1), positions_B=np.arange(32), epoch=1).cpu()
        for device in ("cpu", DEVICE)
    )
    difference = (here.int() - there.int()).abs()
    assert difference.max() <= (1 if kind in ("rotate", "zoom", "jitter") else 0), "rounding may fall to the other side"


def test_a_compiled_network_learns_as_the_plain_one(tmp_path):
    plain, compiled = (
        trained("lenet5", tmp_path, out=str(on), augment=False, compile=on)[1]["history"][-1] for on in (False, True)
    )
    assert compiled["train_loss"] == pytest.approx(plain["train_loss"], rel=0.02)


@pytest.mark.parametrize("name", ["fast_cnn", "resnet18", "hf_encoder"])
def test_equal_seeds_give_equal_bits(name, tmp_path):
    digests = {files.read_manifest(trained(name, tmp_path, out=out, precision="bf16")[0]).digest for out in ("a", "b")}
    assert len(digests) == 1


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_an_interrupted_training_goes_on_to_the_same_bits(precision, tmp_path):
    class StopForTestError(Exception):
        pass

    def interrupt(record):
        if record.epoch == 3:
            raise StopForTestError

    dataset = datasets.images(tmp_path / "data")
    settings = config("custom_cnn", tmp_path, device=DEVICE, precision=precision, epochs=4, ema=0.9)
    whole = train(dataset, settings, tmp_path / "whole")
    store, resumed = open_store(str(tmp_path / "store")), []
    with pytest.raises(StopForTestError):
        train(dataset, settings, tmp_path / "out", store=store, on_epoch=interrupt)
    out = train(dataset, settings, tmp_path / "out", store=store, on_epoch=lambda r: resumed.append(r.epoch))
    assert resumed == [3, 4]
    assert files.read_manifest(out).digest == files.read_manifest(whole).digest


def test_muon_learns(tmp_path):
    _, model = trained("fast_cnn", tmp_path, optimizer="muon", precision="bf16", epochs=5)
    losses = [epoch["train_loss"] for epoch in model["history"]]
    assert losses[-1] < losses[0]


def test_every_gpu_has_a_process_of_torchruns(tmp_path):
    datasets.images(tmp_path / "data")
    job = command(tmp_path / "data", tmp_path / "out", processes=max(1, torch.cuda.device_count()), device=DEVICE)
    done = subprocess.run(job, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert files.verify(tmp_path / "out").digest == json.loads(done.stdout)["digest"]
