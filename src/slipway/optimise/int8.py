"""The INT8 rung: of image networks within a budget, and of encoders."""

# N items, K classes

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slipway.bundle import BATCH
from slipway.data.dataset import Dataset
from slipway.engines import Feeds, open_session
from slipway.export import quantize
from slipway.optimise.judge import Judge, batched

CALIBRATION_ITEMS = 512
"""Training images whose activations are measured."""
RANKING_ITEMS = 64
"""Of calibration, when layers are ranked: each needs a graph of its own."""


def of_images(
    source: Path, dataset: Dataset, folder: Path, judge: Judge, *, max_drop: float, threads: int, say: Callable[[str], object]
) -> tuple[Path, dict[str, Any]]:
    """The INT8 graph of an image network's fp32 graph, in `folder`, and how it was made.

    Every method of choosing ranges is tried; the one with the least log loss on validation is taken. While accuracy there
    falls by more than the budget, the layers that cost most are left in float: one, then two, four and so on.

    Args:
        max_drop: of accuracy on validation, a share.
    Returns: the graph, and {method, floats: names of layers left in float, layers: their number in all, validation: what the
        judge says of it}.
    Raises: DataError: too few training items.
    """
    calibration = _training_batches(dataset, CALIBRATION_ITEMS)

    def judged(graph: Path) -> dict[str, Any]:
        return judge(open_session(graph, precision="int8", threads=threads))

    with quantize.prepared(source) as ready:
        made = {}
        for method in quantize.METHODS:
            quantize.static(ready, folder / f"{method}.onnx", calibration, method=method)
            made[method] = judged(folder / f"{method}.onnx")
            say(f"int8, {method}: log loss {made[method]['log_loss']:.4f} (fp32 {judge.log_loss:.4f}) on validation")
        method = min(made, key=lambda name: made[name]["log_loss"])
        target, found, names = folder / f"{method}.onnx", made[method], quantize.layers(ready)
        floats: list[str] = []
        ranked: list[str] = []
        while -found["difference"] > max_drop and len(floats) < len(names):
            if not ranked:
                say(f"int8: accuracy {found['accuracy']:.4f} on validation; ranks {len(names)} layers by graphs of their own")
                ranked = _by_cost(ready, folder, dataset, method, judged)
            floats = ranked[: max(1, 2 * len(floats))]
            quantize.static(ready, target, calibration, method=method, floats=floats)
            found = judged(target)
            say(f"int8, {len(floats)} of {len(names)} layers in float: accuracy {found['accuracy']:.4f} on validation")
    return target, {"method": method, "floats": floats, "layers": len(names), "validation": found}


def of_encoder(source: Path, folder: Path, judge: Judge, *, threads: int) -> tuple[Path, dict[str, Any]]:
    """The INT8 graph of an encoder's fp32 graph, in `folder`, and how it was made: as of images, without layers."""
    target = folder / "dynamic.onnx"
    quantize.dynamic(source, target)
    found = judge(open_session(target, precision="int8", threads=threads))
    return target, {"method": "dynamic", "floats": [], "validation": found}


def _by_cost(ready: Path, folder: Path, dataset: Dataset, method: str, judged: Callable[[Path], dict[str, Any]]) -> list[str]:
    """Layers, those first which alone in INT8 cost most log loss: beside other broken ones no single layer shows."""
    few, target, names = _training_batches(dataset, RANKING_ITEMS), folder / "ranking.onnx", quantize.layers(ready)
    cost = {}
    for name in names:
        quantize.static(ready, target, few, method=method, floats=[other for other in names if other != name])
        cost[name] = judged(target)["log_loss"]
    return sorted(names, key=cost.__getitem__, reverse=True)


def _training_batches(dataset: Dataset, count: int) -> Sequence[Feeds]:
    images_NHWC, _ = dataset.arrays("train")
    return batched({"image": np.asarray(images_NHWC[:count])}, BATCH)
