"""What evaluation costs on top of the engine: CIFAR-10's test images, all numbers, predictions written; the bar is 1.5."""

import time
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway import settings as settings_
from slipway.data.datasets import open_dataset
from slipway.data.prepare import PrepareConfig, prepare
from slipway.evaluation import scores
from slipway.export.onnx import export
from slipway.training.recipe import TrainConfig
from slipway.training.train import train
from tests.benchmarks.table import show

ROUNDS = 3
ITEMS = 10_000


@pytest.mark.bench
def test_evaluation_against_the_engine_alone(real_data, tmp_path):
    threads = settings_.load().threads
    cifar10 = open_dataset("cifar10", family="cv", root=real_data)
    some, test = (
        list(islice((item for item in cifar10.items if item.split == split), count))
        for split, count in (("train", 600), ("test", ITEMS))
    )
    dataset = prepare(replace(cifar10, items=[*some, *test]), tmp_path / "data", PrepareConfig(family="cv"))
    config = TrainConfig(family="cv", architecture="resnet18", epochs=1, batch_size=32, device="cpu", threads=threads)
    checkpoint = train(dataset, config, tmp_path / "checkpoint")
    bundle = bundles.load(export(checkpoint, dataset, tmp_path / "bundle"), threads=threads)
    images, _ = dataset.arrays("test")
    whole, bare = [], []
    for i in range(ROUNDS):
        started = time.perf_counter()
        for at in range(0, len(images), bundles.BATCH):
            bundle.run({"image": np.asarray(images[at : at + bundles.BATCH])})
        bare.append(time.perf_counter() - started)
        started = time.perf_counter()
        scores.evaluate(bundle, dataset, tmp_path / f"scores{i}", champion=None)
        whole.append(time.perf_counter() - started)
    rows = {"ratio": [a / b for a, b in zip(whole, bare, strict=True)], "   evaluate, s": whole, "   engine, s": bare}
    show(f"evaluation of {len(images)} images of 32 px, resnet18, {ROUNDS} interleaved rounds", rows, threads=threads)
