"""How long a bundle takes for one item, as it is served; and calls side by side."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slipway import bundle as bundles
from slipway.bundle import Bundle
from slipway.engines import runs_here
from slipway.errors import BundleError
from slipway.preprocess import Raw

RUNS, WARM_UP = 60, 10


def latency_ms(bundle: Bundle, items: Sequence[Raw]) -> dict[str, float]:
    """Milliseconds of `predict` for one item: `median`, `p90` and `p95` of RUNS calls, after WARM_UP that do not count.

    Args:
        items: at least one; taken in turn, so that texts of all lengths count.
    """
    taken = []
    for i in range(WARM_UP + RUNS):
        at = i % len(items)
        started = time.perf_counter()
        bundle.predict(items[at : at + 1])
        taken.append((time.perf_counter() - started) * 1000)
    counted = taken[WARM_UP:]
    shares = {"median": 50, "p90": 90, "p95": 95}
    return {name: float(np.percentile(counted, share)) for name, share in shares.items()}


def on_gpu(path: Path) -> Bundle | None:
    """A bundle on the first CUDA device; None where this machine's onnxruntime has none, or cannot use it, which is told."""
    if not runs_here("onnxruntime-cuda", "fp32"):
        return None
    try:
        return bundles.load(path, engine="onnxruntime-cuda")
    except BundleError as exc:
        sys.stderr.write(f"no GPU latency: {exc}\n")
        return None


def milliseconds(calls: Mapping[str, Callable[[], Any]], *, seconds: float, rounds: int = 5) -> dict[str, list[float]]:
    """Milliseconds of a call of each, by name: the median of each round.

    They take turns within a round, so that a busy moment of the machine hits all; the spread of a ratio is that of its rounds.

    Args:
        seconds: for all of it, about.
    """
    started = time.perf_counter()
    for call in calls.values():
        call()  # warms up
    once = time.perf_counter() - started
    turns = int(np.clip(seconds / rounds / max(once, 1e-6), 5, 2000))
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        taken: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(turns):
            for name, call in calls.items():
                started = time.perf_counter()
                call()
                taken[name].append(1000 * (time.perf_counter() - started))
        for name, values in taken.items():
            found[name].append(float(np.median(values)))
    return found
