"""Wrong labels for generated data: with them no model can be perfect, and a gate means something."""

import numpy as np
from numpy.typing import NDArray

GROUP = 20
"""One label in this many is wrong: the best possible accuracy is 1 - 1/20 = 95 %."""


def flip_labels(truth_N: NDArray[np.int64], num_classes: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A copy with exactly one label of every `GROUP` in a row replaced by another class; N must be a multiple of GROUP."""
    labels_GM = truth_N.reshape(-1, GROUP).copy()
    rows = np.arange(len(labels_GM))
    at = rng.integers(0, GROUP, len(labels_GM))
    labels_GM[rows, at] = (labels_GM[rows, at] + rng.integers(1, num_classes, len(labels_GM))) % num_classes
    return labels_GM.reshape(-1)


def balanced(count: int, num_classes: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` class indices in random order, every class equally often but for the remainder."""
    return rng.permutation(np.arange(count) % num_classes).astype(np.int64)
