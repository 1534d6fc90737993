"""Training by our loop, one epoch a round, with something else between the rounds."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from slipway.models import architectures
from slipway.store.local import LocalStore
from slipway.training import loop
from slipway.training.augment import Augment
from slipway.training.batches import ImageBatches
from slipway.training.checkpoint import StoredState
from slipway.training.recipe import TrainConfig

CLASSES = 10


def images(count: int, px: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Random pixels uint8 [N, H, W, C] and labels int64 [N]."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, px, px, channels), dtype=np.uint8), rng.integers(0, CLASSES, count)


def network(config: TrainConfig, px: int, channels: int) -> nn.Module:
    """A model as training makes it."""
    model = architectures.build(config.architecture, num_classes=CLASSES, image_px=px, channels=channels)
    return model.to(memory_format=torch.channels_last)


def by_loop(
    config: TrainConfig, data: tuple[np.ndarray, np.ndarray], folder: Path, between: Callable[[], None]
) -> tuple[list[float], float]:
    """Items/s of each epoch but the first, without validation and the keeping of states; and those two's seconds an epoch.

    `between` is called after each epoch; its time counts nowhere.
    """
    shape = data[0].shape[1:]
    train = ImageBatches(*data, "cpu", Augment(config, shape))
    validation = ImageBatches(data[0][:2], data[1][:2], "cpu", None)
    elsewhere_s = 0.0

    def on_epoch(_record) -> None:
        nonlocal elsewhere_s
        started = time.perf_counter()
        between()
        elsewhere_s += time.perf_counter() - started

    started = time.perf_counter()
    state = loop.fit(
        network(config, shape[0], shape[2]),
        train,
        validation,
        config,
        num_classes=CLASSES,
        keeper=StoredState(LocalStore(folder), "state"),
        on_epoch=on_epoch,
    )
    trained_s = sum(len(data[1]) / record.items_per_s for record in state.history)
    rest_s = time.perf_counter() - started - elsewhere_s - trained_s
    return [record.items_per_s for record in state.history[1:]], rest_s / config.epochs
