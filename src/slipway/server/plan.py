"""How a graph runs best on this machine: measured for a moment before its model is ready."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from slipway.engines import Feeds, Session
from slipway.server.scheduler import Graph

MAX_BATCH = 8
"""Every item waits for the whole batch. Larger ones were not measured."""
PAYS = 1.1
"""Fewer than 10 % faster is noise, and not worth a second copy of the weights, or waiting for others."""
SECONDS = 0.1
"""For each of at most five measurements, the first call of each aside."""


def plan(
    open_again: Callable[[int], Session], one: Session, feeds: Feeds, *, threads: int, together: bool = True, **more: Any
) -> Graph:
    """What pays: all threads for a lone caller, several requests in one call.

    Args:
        open_again: (threads of one call) -> session of the same graph.
        one: opened with one thread a call.
        feeds: of one typical item.
        threads: of the process.
        together: whether the first axis of all inputs and outputs is items, so that requests may share a call.
        more: further fields of the graph.
    """
    single_s = _seconds(one, feeds)
    whole = open_again(threads) if threads > 1 else None
    if whole is not None and single_s < PAYS * _seconds(whole, feeds):
        whole = None
    best, max_batch = single_s / PAYS, 1
    size = 2
    while together and size <= MAX_BATCH:
        item_s = _seconds(one, {name: np.repeat(values, size, axis=0) for name, values in feeds.items()}) / size
        if item_s < best:
            best, max_batch = item_s, size
        size *= 2
    return Graph(one=one, whole=whole, max_batch=max_batch, **more)


def _seconds(session: Session, feeds: Feeds) -> float:
    """Of one call, the median of as many as fit in SECONDS, at least 3, after one to warm up."""
    names = list(session.outputs[:1])
    session.run(names, feeds)
    taken: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(taken) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        session.run(names, feeds)
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))
