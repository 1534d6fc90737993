"""95 % intervals of numbers over a test split: exact forms where there are any, else the bootstrap over items."""

# N items, R resamples, S statistics

from collections.abc import Callable, Iterator, Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from slipway.metrics import wilson_interval

RESAMPLES = 1000
CHUNK = 2_000_000
"""Weights that are held at once: 8 MB."""

Interval = tuple[float | None, float | None]
"""Lower and upper bound; both None where the items show no spread, so that resampling them says nothing."""


def mean_of_proportions(successes: Sequence[int], totals: Sequence[int]) -> Interval:
    """Interval of the mean of independent proportions, such as balanced accuracy, from the Wilson interval of each.

    The method of variance estimates recovery (Zou and Donner 2008, Statistics in Medicine 27:1693): the distances from
    each proportion to its bounds are added as variances are. It stays honest where all are right, unlike a bootstrap.

    Args:
        totals: above 0.
    """
    bounds = [wilson_interval(s, n) for s, n in zip(successes, totals, strict=True)]
    shares = [s / n for s, n in zip(successes, totals, strict=True)]
    mean = sum(shares) / len(shares)
    below = sqrt(sum((p - low) ** 2 for p, (low, _) in zip(shares, bounds, strict=True))) / len(shares)
    above = sqrt(sum((high - p) ** 2 for p, (_, high) in zip(shares, bounds, strict=True))) / len(shares)
    return mean - below, mean + above


def resamples(n: int, times: int = RESAMPLES, seed: int = 0) -> Iterator[NDArray[np.float32]]:
    """How often each of n items is drawn in a bootstrap sample, in parts of [some R, N]; `times` rows in all."""
    rng = np.random.default_rng(seed)
    step = max(1, min(times, CHUNK // n))
    for start in range(0, times, step):
        rows = min(step, times - start)
        drawn = rng.integers(0, n, (rows, n)) + np.arange(rows)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float32)


def bootstrap(
    statistics: Callable[[NDArray[np.float32]], NDArray[np.floating]], n: int, times: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Statistics of each resample of n items, [S, R].

    Args:
        statistics: from weights [R, N] to values [S, R].
    """
    return np.concatenate([statistics(weights_RN) for weights_RN in resamples(n, times, seed)], axis=1)


def percentile(values_R: NDArray[np.floating]) -> Interval:
    """The middle 95 % of the resamples' values (Efron 1979); those where it is not defined, NaN, are left out."""
    values = values_R[~np.isnan(values_R)]
    if not len(values) or np.ptp(values) <= 1e-12:
        return None, None
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def basic(values_R: NDArray[np.floating], found: float) -> Interval:
    """The percentiles mirrored at the value found, not below 0: for a number that resampling itself pushes up.

    A calibration error is such a number: gaps that chance makes are counted as errors, and each resample adds more.
    """
    low, high = percentile(values_R)
    if low is None or high is None:
        return None, None
    return max(0.0, 2 * found - high), max(0.0, 2 * found - low)
