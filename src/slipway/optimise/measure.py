"""What a variant answers and how fast, side by side with the variant it was made of."""

# N items, K classes

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.bundle import BATCH

Session = Any
"""An onnxruntime InferenceSession."""
Feeds = Mapping[str, NDArray[Any]]


def answers(session: Session, batches: Sequence[Feeds]) -> NDArray[np.float32]:
    """Probabilities [N, K] of graph inputs, in order."""
    return np.concatenate([session.run(["probabilities"], dict(batch))[0] for batch in batches])


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


def batched(arrays: Feeds) -> list[Feeds]:
    """Graph inputs in batches of `bundle.BATCH`."""
    count = len(next(iter(arrays.values())))
    return [{name: array[i : i + BATCH] for name, array in arrays.items()} for i in range(0, count, BATCH)]
