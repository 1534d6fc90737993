"""What a bundle costs on this machine: time by batch and threads, throughput, memory and size."""

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from slipway import bundle as bundles
from slipway.bundle import Bundle
from slipway.errors import ConfigError
from slipway.preprocess import Raw

WARM_UP = 3
"""Calls of each size that do not count: the engine allocates and picks kernels."""
LEAST_CALLS = 20
"""Counted calls, however long they take."""
MAX_ITEMS = 256
"""Different items that are sent; they are kept in memory."""
MB = 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Calls of one size by one number of threads, from raw items to probabilities. Milliseconds are of a call."""

    threads: int
    batch: int
    calls: int
    """That count."""
    median_ms: float
    p95_ms: float
    p99_ms: float
    engine_ms: float
    """Median of the graph alone; the rest of a call decodes, resizes or tokenises."""
    items_per_s: float
    """Of calls one after the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """What a process that does nothing else took, with so many threads."""

    threads: int
    load_s: float
    """Files verified, graph opened."""
    memory_mb: float
    """Most of its memory at any time, beyond what Python and its libraries took before; 1 MB is 10^6 bytes."""
    timings: tuple[Timing, ...]


def bench(
    path: Path,
    *,
    variant: str = "",
    items: Sequence[Raw] = (),
    batches: Sequence[int] = (1, 8, 32),
    threads: Sequence[int] = (1,),
    seconds: float = 2.0,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[Process]:
    """Measure a bundle or release; each number of threads in a process of its own, one after the other.

    Args:
        variant: see `bundle.load`.
        items: sent in turn, at most MAX_ITEMS; none: those of the bundle's self-test.
        batches: items a call, >= 1.
        threads: of the engine, >= 1.
        seconds: for each size, > 0; slow models take longer, for LEAST_CALLS.
        progress: told what is measured next.
    Raises:
        ConfigError: a size, a number of threads or of seconds out of range.
        BundleError: see `bundle.load`. DataError: an item cannot be read.
    """
    for name, values in (("batch", batches), ("threads", threads)):
        if not values or min(values) < 1:
            raise ConfigError(f"{name}: must be whole numbers >= 1, got {', '.join(map(str, values)) or 'none'}")
    if not seconds > 0:
        raise ConfigError(f"seconds: must be above 0, got {seconds:g}")
    for count in threads:
        progress(f"{count} thread{'s' if count > 1 else ''}, batches of {', '.join(map(str, batches))}")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:  # a fresh one: its peak is this model's
            yield process.submit(_measure, path, variant, list(items[:MAX_ITEMS]), list(batches), count, seconds).result()


def _measure(path: Path, variant: str, items: list[Raw], batches: list[int], threads: int, seconds: float) -> Process:
    import onnxruntime  # noqa: F401 - its own size is not the model's

    before = _peak_bytes()
    started = time.perf_counter()
    bundle = bundles.load(path, variant=variant, threads=threads)
    loaded = time.perf_counter()
    sent = items or bundles.selftest_items(bundle)
    timings = tuple(_timed(bundle, sent, batch, threads, seconds) for batch in batches)
    memory = (_peak_bytes() - before) / MB
    return Process(threads=threads, load_s=loaded - started, memory_mb=memory, timings=timings)


def _timed(bundle: Bundle, items: Sequence[Raw], batch: int, threads: int, seconds: float) -> Timing:
    calls_s: list[float] = []
    engine_s: list[float] = []
    groups = _in_turn(items, batch)
    for group in islice(groups, WARM_UP):
        bundle.predict(group)
    ends = time.perf_counter() + seconds
    while len(calls_s) < LEAST_CALLS or time.perf_counter() < ends:
        inside = {"preprocess": 0.0, "model": 0.0}

        def observe(phase: str, taken: float, inside: dict[str, float] = inside) -> None:
            inside[phase] += taken

        group = next(groups)
        started = time.perf_counter()
        bundle.predict(group, observe=observe)
        calls_s.append(time.perf_counter() - started)
        engine_s.append(inside["model"])
    median, p95, p99 = (1000 * float(value) for value in np.percentile(calls_s, (50, 95, 99)))
    return Timing(
        threads=threads,
        batch=batch,
        calls=len(calls_s),
        median_ms=median,
        p95_ms=p95,
        p99_ms=p99,
        engine_ms=1000 * float(np.median(engine_s)),
        items_per_s=batch * len(calls_s) / sum(calls_s),
    )


def _in_turn(items: Sequence[Raw], batch: int) -> Iterator[list[Raw]]:
    """Groups of so many items, over and over."""
    at = 0
    while True:
        yield [items[(at + i) % len(items)] for i in range(batch)]
        at = (at + batch) % len(items)


def _peak_bytes() -> int:
    """Most memory that this process has held so far."""
    try:  # what getrusage says on Linux is the starting process's as well
        text = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
