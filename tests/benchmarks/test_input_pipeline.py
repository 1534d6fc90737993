"""Augmented uint8 batches: ours, against torchvision's transforms of PIL images in a DataLoader; the bar is three times."""

import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

from slipway import settings as settings_
from slipway.models.runtime import torch_session
from slipway.training.augment import GRAY, Augment
from slipway.training.batches import ImageBatches
from slipway.training.recipe import TrainConfig
from tests.benchmarks import stepping
from tests.benchmarks.table import show

ROUNDS, WORKERS = 5, 2
MARGIN_PX, ERASED = 4, 0.25
OURS_AGAIN = 5
"""Rounds of ours go so often through the images: they would be too short to time."""


class Pictures(torch.utils.data.Dataset):
    """Arrays as PIL images through torchvision's transforms, as its tutorials do."""

    def __init__(self, images, labels, *after):
        self._images, self._labels, px = images, labels, images.shape[1]
        erased = transforms.RandomErasing(p=1.0, scale=(ERASED**2, ERASED**2), ratio=(1.0, 1.0), value=GRAY)
        crop = transforms.RandomCrop(px, padding=MARGIN_PX, padding_mode="reflect")
        self._transform = transforms.Compose(
            [crop, transforms.RandomHorizontalFlip(), transforms.PILToTensor(), erased, *after]
        )

    def __len__(self):
        return len(self._images)

    def __getitem__(self, i):
        return self._transform(Image.fromarray(self._images[i].squeeze())), self._labels[i]


def recipe(px, **more):
    return TrainConfig(family="cv", crop=MARGIN_PX / px, flip="horizontal", erase=ERASED, device="cpu", **more)


def loader(pictures, batch_size):
    return DataLoader(pictures, batch_size, shuffle=True, num_workers=WORKERS, persistent_workers=True)


@pytest.mark.bench
@pytest.mark.parametrize(("count", "px", "channels", "batch_size"), [(4096, 32, 3, 512), (1024, 200, 1, 32)])
def test_pipeline_alone(count, px, channels, batch_size):
    images, labels = stepping.images(count, px, channels)
    ours = ImageBatches(images, labels, "cpu", Augment(recipe(px), (px, px, channels)))
    theirs, rng, threads = loader(Pictures(images, labels), batch_size), np.random.default_rng(0), settings_.load().threads
    rates = {"ours, images/s": [], "torchvision's, images/s": []}

    def our_round():
        for _ in range(OURS_AGAIN):
            for positions in ours.plan(batch_size, rng):
                ours.inputs(positions, rng)

    def their_round():
        for _ in theirs:
            pass

    with torch_session(threads=threads, deterministic=True):
        for i in range(1 + ROUNDS):  # the first warms up, and starts the workers
            for name, call, items in zip(rates, (our_round, their_round), (OURS_AGAIN * count, count), strict=True):
                started = time.perf_counter()
                call()
                rates[name] += [items / (time.perf_counter() - started)] if i else []
    ratios = [a / b for a, b in zip(*rates.values(), strict=True)]
    title = f"input pipeline, {channels} channels of {px} px, batch {batch_size}, {WORKERS} workers of torchvision's"
    show(title, {"ratio": ratios, **rates}, threads=threads)


@pytest.mark.bench
def test_an_epoch_against_an_ordinary_script(tmp_path):
    px, count, batch_size = 32, 512, 128
    data, threads = stepping.images(count, px, 3), settings_.load().threads
    config = recipe(px, architecture="fast_cnn", optimizer="sgd", batch_size=batch_size, epochs=1 + ROUNDS, clip_norm=0.0)
    with torch_session(threads=threads, deterministic=True):
        model = stepping.network(config, px, 3).network.train()
        as_float = (transforms.ConvertImageDtype(torch.float32), transforms.Normalize([0.5] * 3, [0.25] * 3))
        batches, rates = loader(Pictures(*data, *as_float), batch_size), []
        optim = torch.optim.SGD(model.parameters(), lr=0.002, momentum=0.9, nesterov=True, weight_decay=0.01)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optim, 0.002, total_steps=config.epochs * len(batches))
        criterion = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)

        def script():
            started, total = time.perf_counter(), 0.0
            for images, labels in batches:
                optim.zero_grad()
                loss = criterion(model(images.to(memory_format=torch.channels_last)), labels)
                loss.backward()
                optim.step()
                scheduler.step()
                total += loss.item()
            rates.append(count / (time.perf_counter() - started))

        loop, _ = stepping.by_loop(config, data, tmp_path, between=script)
    rows = {
        "ratio": [a / b for a, b in zip(loop, rates[1:], strict=True)],
        "ours, images/s": loop,
        "script, images/s": rates[1:],
    }
    show(f"fast_cnn at {px} px, an epoch of {count} images, batch {batch_size}, fp32", rows, threads=threads)
