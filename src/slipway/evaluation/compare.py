"""Paired comparison of two classifiers on the same items."""

# N items, K classes

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

Z_ONE_SIDED_95 = 1.6448536269514722
Z_POWER_80 = 0.8416212335729143
"""`needed` is planned so that of equally good challengers four in five pass."""
RESAMPLES = 10_000


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
    """Items with which four in five equally good challengers pass, if the two disagree as often as here."""


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
    needed = ceil((Z_ONE_SIDED_95 + Z_POWER_80) ** 2 * discordant / max_drop**2)
    return PairedDifference(n, b, c, (b - c) / n if n else 0.0, centre - Z_ONE_SIDED_95 * spread, needed)


def mcnemar_exact(only_challenger_right: int, only_champion_right: int) -> float:
    """Two-sided p of McNemar's exact test: were the two equally good, each disagreement would be a fair coin.

    McNemar (1947), Psychometrika 12:153; 1 where they never disagree.
    """
    from scipy.stats import binomtest

    disagreements = only_challenger_right + only_champion_right
    return float(binomtest(only_challenger_right, disagreements).pvalue) if disagreements else 1.0


def bootstrap_difference(
    challenger_right_N: NDArray[np.bool_], champion_right_N: NDArray[np.bool_], seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the difference in accuracy by the paired bootstrap (Efron's percentiles), in points of 1.

    Resampling items only changes how many of each kind of disagreement are drawn, so those counts are drawn directly.
    """
    n = len(challenger_right_N)
    b, c = np.sum(challenger_right_N & ~champion_right_N), np.sum(~challenger_right_N & champion_right_N)
    drawn = np.random.default_rng(seed).multinomial(n, [b / n, c / n, (n - b - c) / n], size=RESAMPLES)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / n, (0.025, 0.975))
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class ClassDifference:
    """How the recall of one class changed."""

    label: str
    n: int
    difference: float | None
    """Challenger's recall minus champion's, in points of 1; None without items."""
    p: float
    """Of the exact McNemar test on the class's items."""
    p_corrected: float
    """By Holm, for as many tests as there are classes: below 0.05 the class did change."""


def class_differences(
    labels_N: NDArray[np.integer],
    challenger_right_N: NDArray[np.bool_],
    champion_right_N: NDArray[np.bool_],
    labels: Sequence[str],
) -> list[ClassDifference]:
    """Recall of each class, challenger against champion; labels_N are positions in `labels`."""
    found = []
    for k in range(len(labels)):
        ours_N, theirs_N = challenger_right_N[labels_N == k], champion_right_N[labels_N == k]
        p = mcnemar_exact(int(np.sum(ours_N & ~theirs_N)), int(np.sum(~ours_N & theirs_N)))
        found.append((len(ours_N), float(ours_N.mean() - theirs_N.mean()) if len(ours_N) else None, p))
    corrected = holm([p for *_, p in found])
    return [ClassDifference(name, *row, q) for name, row, q in zip(labels, found, corrected, strict=True)]


def holm(p_values: Sequence[float]) -> list[float]:
    """p corrected for as many tests, so that one false alarm among all has the stated level.

    Holm (1979), Scandinavian Journal of Statistics 6:65.
    """
    p_K = np.asarray(p_values, float)
    order_K = np.argsort(p_K, kind="stable")
    stepped_K = np.maximum.accumulate(p_K[order_K] * np.arange(len(p_K), 0, -1))
    corrected_K = np.empty_like(p_K)
    corrected_K[order_K] = np.minimum(stepped_K, 1)
    return [float(p) for p in corrected_K]
