"""All items of a data set in one row: train, then validation, then test."""

# N items, H/W px, C channels

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from slipway.data.checks.report import Listed
from slipway.data.dataset import Dataset
from slipway.data.split import SPLITS

EXCERPT_CHARS = 160
CHUNK_BYTES = 64_000_000
"""Pixels held at once."""


class Items:
    """Splits, labels and contents by position in the row."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.labels_N: NDArray[np.int64] = np.concatenate([dataset.label_indices(split) for split in SPLITS])
        lengths = [len(dataset.label_indices(split)) for split in SPLITS]
        self.split_N: NDArray[np.int64] = np.repeat(np.arange(len(SPLITS)), lengths)
        """Positions in SPLITS."""
        self.starts: list[int] = [0, *np.cumsum(lengths).tolist()]
        self._ids = [i for split in SPLITS for i in dataset.ids(split)]
        self.texts: list[str] = [t for split in SPLITS for t in dataset.texts(split)] if dataset.kind == "text" else []
        self._sources = [] if self.texts else [s for split in SPLITS for s in dataset.sources(split)]
        self._images = [] if self.texts else [dataset.arrays(split)[0] for split in SPLITS]

    def __len__(self) -> int:
        return len(self.labels_N)

    def sample(self, most: int) -> NDArray[np.int64]:
        """At most `most` positions, ascending, the same share of every split: a split's first items are a random sample."""
        share = min(1.0, most / len(self))
        parts = [np.arange(a, a + max(1, int((b - a) * share))) for a, b in pairwise(self.starts)]
        return np.concatenate(parts).astype(np.int64)

    def images(self, positions: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
        """The images at ascending positions, in chunks [n, H, W, C]."""
        for split, start, end in zip(self._images, self.starts, self.starts[1:], strict=False):
            inside = positions[(positions >= start) & (positions < end)] - start
            step = max(1, CHUNK_BYTES // int(np.prod(split.shape[1:])))
            for at in range(0, len(inside), step):
                yield split[inside[at : at + step]]

    def listed(self, groups: Iterable[Sequence[int]], notes: Iterable[str]) -> list[Listed]:
        """The items of each group of positions, with the group's note."""
        found = []
        for number, (group, note) in enumerate(zip(groups, notes, strict=True)):
            for i in group:
                source = (
                    " ".join(self.texts[i][: 2 * EXCERPT_CHARS].split())[:EXCERPT_CHARS] if self.texts else self._sources[i]
                )
                label = self.dataset.labels[self.labels_N[i]]
                found.append(Listed(self._ids[i], SPLITS[self.split_N[i]], label, source, number, note))
        return found
