"""Numbers of rounds to an estimate with its 95 % interval, and what a bar says of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from tests.benchmarks.serving.cells import CLEARLY_BEHIND, Bar


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over rounds."""

    value: float
    low: float
    """Of the 95 % interval; -inf and +inf of less than two rounds."""
    high: float
    n: int


def mean(values: Sequence[float]) -> Estimate:
    """The mean, with Student's interval over the rounds."""
    n, middle = len(values), float(np.mean(values))
    if n < 2:
        return Estimate(middle, -math.inf, math.inf, n)
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n))
    return Estimate(middle, middle - half, middle + half, n)


def ratio(a: Sequence[float], b: Sequence[float]) -> Estimate:
    """The geometric mean of the rounds' ratios a / b, all > 0; a busy moment hits both sides of a round."""
    logs = mean([math.log(x / y) for x, y in zip(a, b, strict=True)])
    low, high = (math.exp(value) if math.isfinite(value) else max(0.0, value) for value in (logs.low, logs.high))
    return Estimate(math.exp(logs.value), low, high, logs.n)


def verdict(bar: Bar, found: Estimate) -> str:
    """`met`, `missed`, or `open` where the interval holds the bar."""
    if bar.kind == "added":
        good, bad = found.high <= bar.value, found.low > bar.value
    else:
        good, bad = found.low >= bar.value, found.high < bar.value
    return "met" if good else "missed" if bad else "open"


def beside(ours_by_peer: Estimate, peer_by_ceiling: float) -> str:
    """How ours stands to the best peer: `behind`, `even`, `ahead`, or `not clearly ahead` where that peer leaves room."""
    if ours_by_peer.high < 1:
        return "behind"
    if ours_by_peer.low > 1:
        return "ahead"
    return "even" if peer_by_ceiling >= CLEARLY_BEHIND else "not clearly ahead"
