"""What the loop costs: images/s through it, against the same network's bare step on one batch; the bar is 0.95."""

import time

import pytest
import torch
from torch import nn

from slipway import settings as settings_
from slipway.models.architectures import ARCHITECTURES
from slipway.models.groups import layer_groups
from slipway.models.runtime import pick_precision, torch_session
from slipway.training.loop import DTYPES
from slipway.training.optim import Optimizer, parameter_groups
from slipway.training.recipe import TrainConfig
from tests.benchmarks import stepping
from tests.benchmarks.table import show

ROUNDS = 5
CASES = {"fast_cnn": (32, 64, 4), "custom_cnn": (32, 64, 4), "resnet18": (32, 16, 4), "defect_base": (200, 16, 4)}
"""Side in pixels, batch size, steps a round."""
ORDINARY = {"optimizer": "sgd", "learning_rate": 0.01, "crop": 0.125, "flip": "horizontal", "erase": 0.25, "clip_norm": 0.0}
RECIPES = {
    "crop, flip, cutout": ORDINARY,
    "and ema, clipping, mixup, cutmix, jitter": ORDINARY
    | {"ema": 0.999, "clip_norm": 1.0, "mixup": 0.2, "cutmix": 1.0, "jitter": 0.2},
}


@pytest.mark.bench
@pytest.mark.parametrize("architecture", CASES)
def test_loop_against_bare_steps(architecture, tmp_path):
    px, batch_size, steps = CASES[architecture]
    family, threads = ARCHITECTURES[architecture].family, settings_.load().threads
    precision = pick_precision("auto", "cpu")
    channels = 1 if family == "defect" else 3
    data = stepping.images(batch_size * steps, px, channels)
    rows, apart = {}, []
    with torch_session(threads=threads, deterministic=True):
        for name, recipe in RECIPES.items():
            config = TrainConfig(
                family=family,
                architecture=architecture,
                device="cpu",
                precision=precision,
                batch_size=batch_size,
                epochs=1 + ROUNDS,  # the first warms up
                **recipe,
            )
            bare = Bare(config, data, steps)
            loop, rest_s = stepping.by_loop(config, data, tmp_path / name, between=bare.round)
            rows[f"{name}: ratio"] = [a / b for a, b in zip(loop, bare.per_s[1:], strict=True)]
            rows |= {"   loop, images/s": loop, "   bare, images/s": bare.per_s[1:]} if recipe is ORDINARY else {}
            apart.append(rest_s)
    show(f"{architecture} at {px} px, batch {batch_size}, {precision}, {ROUNDS} interleaved rounds", rows, threads=threads)
    print(f"not in the ratios: validation of 2 images and keeping the state, {max(apart):.2f} s an epoch at most")


class Bare:
    """Forward, backward and optimizer step on one batch, again and again."""

    def __init__(self, config, data, steps):
        self._config, self._steps, self.per_s = config, steps, []
        self._model = stepping.network(config, *data[0].shape[2:]).train()
        self._optim = Optimizer(parameter_groups(layer_groups(self._model), config), config)
        self._images, self._labels = (torch.from_numpy(array[: config.batch_size]) for array in data)

    def round(self):
        started = time.perf_counter()
        for _ in range(self._steps):
            self._optim.zero_grad()
            with torch.autocast("cpu", DTYPES[self._config.precision], enabled=self._config.precision != "fp32"):
                logits = self._model(self._images)
            nn.functional.cross_entropy(logits.float(), self._labels).backward()
            self._optim.step(1e-4)
        self.per_s.append(self._steps * len(self._labels) / (time.perf_counter() - started))
