"""How long a bundle takes for one item, as it is served."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from slipway import bundle as bundles
from slipway.bundle import Bundle
from slipway.errors import BundleError
from slipway.preprocess import Raw

RUNS, WARM_UP = 60, 10
CUDA = "CUDAExecutionProvider"


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
    import onnxruntime as ort

    if CUDA not in ort.get_available_providers():
        return None
    try:
        return bundles.load(path, provider=CUDA)
    except BundleError as exc:
        sys.stderr.write(f"no GPU latency: {exc}\n")
        return None
