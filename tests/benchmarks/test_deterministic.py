"""What `deterministic=true` costs: CPU time of a network's forward and backward with it, by that without."""

import time

import pytest
import torch
from torch.nn.functional import cross_entropy

from slipway import settings as settings_
from slipway.models import architectures
from slipway.models.runtime import torch_session
from tests.benchmarks import stepping
from tests.benchmarks.table import show

ROUNDS = 9
CASES = {"fast_cnn": (32, 256), "custom_cnn": (32, 64), "resnet18": (32, 32), "defect_base": (128, 32)}
"""Side in pixels, batch size."""


@pytest.mark.bench
def test_deterministic_against_free_steps():
    threads = settings_.load().threads
    rows = {}
    for architecture, (px, batch_size) in CASES.items():
        channels = 1 if architectures.find(architecture).family == "defect" else 3
        images, labels = (torch.from_numpy(array) for array in stepping.images(batch_size, px, channels))
        model = architectures.build(architecture, num_classes=10, image_px=px, channels=channels)
        model = model.to(memory_format=torch.channels_last)

        def step(deterministic, model=model, images=images, labels=labels):
            with torch_session(threads=threads, deterministic=deterministic):
                started = time.process_time()
                cross_entropy(model(images), labels).backward()
                return time.process_time() - started

        step(True)
        orders = [(True, False), (False, True)] * ROUNDS  # whoever comes second finds a warm cache
        taken = [{deterministic: step(deterministic) for deterministic in order} for order in orders[:ROUNDS]]
        rows[architecture] = [pair[True] / pair[False] for pair in taken]
    show("CPU time of a step, deterministic by free", rows, threads=threads)
