"""Pairs of items that are alike."""

# P pairs

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Pairs:
    """Positions of two items, and how alike they are."""

    a_P: NDArray[np.int64]
    b_P: NDArray[np.int64]
    score_P: NDArray[np.float32]
    """1: equal."""

    def pick(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Pairs":
        """Those at a mask or at positions."""
        return Pairs(self.a_P[which], self.b_P[which], self.score_P[which])


def unique(pairs: Pairs) -> Pairs:
    """Each pair once, with its best score; the most alike first, then by position."""
    low, high = np.minimum(pairs.a_P, pairs.b_P), np.maximum(pairs.a_P, pairs.b_P)
    order = np.lexsort((high, low, -pairs.score_P))
    low, high = low[order], high[order]
    _, first = np.unique(np.stack([low, high], 1), axis=0, return_index=True)
    kept = np.sort(first)
    return Pairs(low[kept], high[kept], pairs.score_P[order][kept])
