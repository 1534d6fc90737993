"""How long a bundle takes for one item, as it is served."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from slipway import bundle as bundles
from slipway.bundle import Bundle
from slipway.preprocess import Raw

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


def on_gpu(bundle: Bundle) -> Bundle | None:
    """The same bundle on the first CUDA device; None where this machine's onnxruntime has none."""
    import onnxruntime as ort

    if CUDA not in ort.get_available_providers():
        return None
    model: Path = bundle.path / bundle.meta["variants"][bundle.variant]["file"]
    try:
        session = ort.InferenceSession(model, providers=[CUDA])
    except Exception:  # noqa: BLE001  # a build for CUDA on a machine without: onnxruntime's classes have no stable names
        return None
    return replace(bundle, _session=session) if CUDA in session.get_providers() else None


def load(path: Path, *, threads: int) -> Bundle:
    """A bundle that has proved itself. Raises: BundleError: damaged, or its answers are not the exporter's."""
    bundle = bundles.load(path, threads=threads)
    bundles.selftest(bundle)
    return bundle
