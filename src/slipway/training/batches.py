"""What the loop is fed: images straight from the memory-mapped arrays, token ids of texts."""

# B batch, N items, L tokens

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slipway.preprocess import Preprocess
from slipway.training.augment import Augment

POOL = 32
"""Batches whose texts are sorted by length together: little padding, and still a random order."""


class Batches(Protocol):
    """One split, as the loop sees it."""

    labels_N: NDArray[np.int64]

    def plan(self, batch_size: int, rng: np.random.Generator | None) -> list[NDArray[np.int64]]:
        """Positions of each batch of an epoch; every item once, batches of nearly equal size. Without rng in a fixed order."""
        ...

    def inputs(self, positions_B: NDArray[np.int64], rng: np.random.Generator | None, epoch: int, /) -> tuple[Tensor, ...]:
        """The model's inputs of one batch; augmented when there is an rng, some of it by the epoch."""
        ...


class ImageBatches:
    """uint8 [N, H, W, C] arrays; a batch is copied out of the memory map when it is needed."""

    def __init__(
        self, images_NHWC: NDArray[np.uint8], labels_N: NDArray[np.int64], device: str, augment: Augment | None
    ) -> None:
        self.images_NHWC, self.labels_N = images_NHWC, labels_N
        self._device, self._augment = device, augment

    def plan(self, batch_size: int, rng: np.random.Generator | None) -> list[NDArray[np.int64]]:
        """See `Batches.plan`."""
        order_N = np.arange(len(self.labels_N)) if rng is None else rng.permutation(len(self.labels_N))
        return np.array_split(order_N, -(-len(order_N) // batch_size))

    def inputs(self, positions_B: NDArray[np.int64], rng: np.random.Generator | None, epoch: int = 0) -> tuple[Tensor, ...]:
        """See `Batches.inputs`."""
        images = torch.from_numpy(np.ascontiguousarray(self.images_NHWC[positions_B])).to(self._device)
        if rng is None or self._augment is None:
            return (images,)
        return (self._augment(images, rng, positions_B=positions_B, epoch=epoch),)


class TokenBatches:
    """Token ids, made once; a batch is padded to its own longest text."""

    def __init__(self, texts: list[str], labels_N: NDArray[np.int64], device: str, preprocess: Preprocess) -> None:
        self.labels_N = labels_N
        self._device = device
        self._rows: list[NDArray[Any]] = []
        self._pad = int(getattr(preprocess, "pad_id", 0))
        for start in range(0, len(texts), 1024):
            feeds = preprocess.encode(texts[start : start + 1024])
            lengths = feeds["attention_mask"].sum(axis=1)
            self._rows += [row[:n].astype(np.int32) for row, n in zip(feeds["input_ids"], lengths, strict=True)]
        self._lengths_N = np.array([len(row) for row in self._rows])

    def plan(self, batch_size: int, rng: np.random.Generator | None) -> list[NDArray[np.int64]]:
        """See `Batches.plan`; texts of like length share a batch."""
        count = len(self.labels_N)
        if rng is None:
            return np.array_split(np.argsort(self._lengths_N, kind="stable"), -(-count // batch_size))
        batches: list[NDArray[np.int64]] = []
        for pool in np.array_split(rng.permutation(count), -(-count // (batch_size * POOL))):
            by_length = pool[np.argsort(self._lengths_N[pool], kind="stable")]
            batches += np.array_split(by_length, -(-len(pool) // batch_size))
        return [batches[i] for i in rng.permutation(len(batches))]

    def inputs(self, positions_B: NDArray[np.int64], _rng: np.random.Generator | None, _epoch: int = 0) -> tuple[Tensor, ...]:
        """See `Batches.inputs`: input_ids and attention_mask, int64 [B, L]."""
        rows = [self._rows[i] for i in positions_B]
        width = max(1, *(len(row) for row in rows)) if rows else 1
        ids, mask = np.full((len(rows), width), self._pad, np.int64), np.zeros((len(rows), width), np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
        return torch.from_numpy(ids).to(self._device), torch.from_numpy(mask).to(self._device)


def mean_and_std(images_NHWC: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Per-channel mean and standard deviation [C] of pixels scaled to [0, 1]; exact integer sums, so order does not matter."""
    channels = images_NHWC.shape[3]
    counts = np.zeros((channels, 256), np.int64)
    for start in range(0, len(images_NHWC), 1024):
        chunk = np.asarray(images_NHWC[start : start + 1024])
        for c in range(channels):
            counts[c] += np.bincount(chunk[..., c].reshape(-1), minlength=256)
    values, total = np.arange(256) / 255, counts.sum(axis=1)
    mean = counts @ values / total
    std = np.sqrt(np.maximum(counts @ values**2 / total - mean**2, 0))
    return torch.from_numpy(mean).float(), torch.from_numpy(std).float()
