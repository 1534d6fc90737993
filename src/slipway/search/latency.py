"""How long a bundle takes for one item, as it is served."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from slipway import bundle as bundles
from slipway.bundle import Bundle
from slipway.errors import BundleError
from slipway.preprocess import Raw
from slipway.search.folder import say

RUNS, WARM_UP = 60, 10
CUDA = "CUDAExecutionProvider"


def latency_ms(bundle: Bundle, items: Sequence[Raw]) -> dict[str, float]:
    """Milliseconds of `predict` for one item: `median` and `p90` of RUNS calls, after WARM_UP that do not count.

    Args:
        items: at least one; taken in turn, so that texts of all lengths count.
    """
    taken = []
    for i in range(WARM_UP + RUNS):
        at = i % len(items)
        started = time.perf_counter()
        bundle.predict(items[at : at + 1])
        taken.append((time.perf_counter() - started) * 1000)
    return {"median": float(np.median(taken[WARM_UP:])), "p90": float(np.percentile(taken[WARM_UP:], 90))}


def on_gpu(path: Path) -> Bundle | None:
    """A bundle on the first CUDA device; None where this machine's onnxruntime has none, or cannot use it, which is told."""
    import onnxruntime as ort

    if CUDA not in ort.get_available_providers():
        return None
    try:
        return bundles.load(path, provider=CUDA)
    except BundleError as exc:
        say(f"compare: no GPU latency: {exc}")
        return None
