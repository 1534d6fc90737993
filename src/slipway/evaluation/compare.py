"""Paired comparison of two classifiers on the same items."""

# N items

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

Z_ONE_SIDED_95 = 1.6448536269514722


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Accuracy of the challenger minus accuracy of the champion, in points of 1."""

    n: int
    only_challenger_right: int
    only_champion_right: int
    difference: float
    lower: float
    """One-sided 95 % lower bound of the difference."""
    needed: int
    """Items that would do for a bound of -max_drop, if the two disagree as often as here and are equally good."""


def paired_difference(
    challenger_right_N: NDArray[np.bool_], champion_right_N: NDArray[np.bool_], *, max_drop: float
) -> PairedDifference:
    """Difference of two paired proportions with the adjusted Wald bound of Agresti and Min (2005, Statistics in
    Medicine 24:729), which adds half an item to each of the four cells and keeps its level for small samples.

    Args:
        max_drop: largest loss of accuracy that is still called non-inferior, in (0, 1]; only `needed` depends on it.
    """
    n = len(challenger_right_N)
    b = int(np.sum(challenger_right_N & ~champion_right_N))
    c = int(np.sum(~challenger_right_N & champion_right_N))
    total, b_half, c_half = n + 2, b + 0.5, c + 0.5
    centre = (b_half - c_half) / total
    spread = sqrt(b_half + c_half - (b_half - c_half) ** 2 / total) / total
    discordant = (b_half + c_half) / total
    needed = ceil(Z_ONE_SIDED_95**2 * discordant / max_drop**2)
    return PairedDifference(n, b, c, (b - c) / n if n else 0.0, centre - Z_ONE_SIDED_95 * spread, needed)
