"""What the engine does without a server: callers in one process, each with its own items, one after the other."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import bundle as bundles
from slipway.engines import open_session
from tests.benchmarks.serving.cells import MAX_BATCH

WARM_UP = 3
Answer = Callable[[list[Any]], NDArray[np.float32]]


@cache
def answers(path: Path, threads: int) -> Answer:
    """Raw items to probabilities [N, K], by the served variant and its preprocessing."""
    if path.suffix != ".onnx":
        return bundles.load(path, threads=threads).predict
    session = open_session(path, threads=threads)
    return lambda items: session.run(["probabilities"], {"image": np.stack(items) if len(items) > 1 else items[0][None]})[0]


def measure(path: Path, item: Any, callers: int, threads: int, batch: int, seconds: float) -> tuple[float, float]:
    """Items a second of all callers, and the median milliseconds of a call.

    Args:
        threads: of each caller's call.
        batch: items a call.
    """
    answer, items = answers(path, threads), [item] * batch
    taken: list[list[float]] = [[] for _ in range(callers)]
    start = threading.Barrier(callers)

    def call(own: list[float]) -> None:
        for _ in range(WARM_UP):
            answer(items)
        start.wait()
        began = last = time.perf_counter()
        while last - began < seconds:
            answer(items)
            now = time.perf_counter()
            own.append(now - last)
            last = now

    workers = [threading.Thread(target=call, args=(own,)) for own in taken]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    rate = sum(batch * len(own) / sum(own) for own in taken)
    return rate, 1000 * float(np.median([t for own in taken for t in own]))


class Ceiling(AbstractContextManager["Ceiling"]):
    """A process that holds a model, and waits between measurements."""

    def __init__(self, path: Path, item: Any, threads: int) -> None:
        """`threads`: those of the server."""
        self._path, self._item, self._threads = path, item, threads
        self._process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def __exit__(self, *_: object) -> None:
        self._process.shutdown()

    def expected(self, item: Any) -> NDArray[np.float32]:
        """Probabilities [K] of one item: the right answer."""
        return self._process.submit(_answer, self._path, item).result()

    def calibrate(self, seconds: float) -> dict[str, Any]:
        """Items a second by `callers × threads`, at batch 1 and by batch; median ms of one caller's call at batch 1."""
        n = self._threads
        arms = list(dict.fromkeys([(n, 1), (1, n)]))
        single = {f"{c}×{t}": self._run(c, t, 1, seconds) for c, t in dict.fromkeys([*arms, (1, 1)])}
        batched = {f"{c}×{t}, batch {b}": self._run(c, t, b, seconds / 3)[0] for c, t in arms for b in (2, 4, MAX_BATCH)}
        rates = {f"{c}×{t}": single[f"{c}×{t}"][0] for c, t in arms}
        lone = {name: ms for name, (_, ms) in single.items() if name.startswith("1×")}
        return {"rates": rates, "lone_ms": lone, "batched": batched}

    def _run(self, callers: int, threads: int, batch: int, seconds: float) -> tuple[float, float]:
        return self._process.submit(measure, self._path, self._item, callers, threads, batch, seconds).result()


def _answer(path: Path, item: Any) -> NDArray[np.float32]:
    return answers(path, 1)([item])[0]
