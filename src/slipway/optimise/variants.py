"""How a rung's graph is made: INT8 of image networks within a budget, and of encoders."""

# N items, K classes

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slipway import metrics
from slipway.bundle import open_session
from slipway.data.dataset import Dataset
from slipway.export import quantize
from slipway.optimise.measure import Feeds, answers, batched

CALIBRATION_ITEMS = 512
"""Training images whose activations are measured."""
JUDGED_ITEMS = 2000
"""Validation items that methods and layers are judged by."""
RANKING_ITEMS = 64
"""Of calibration, when layers are ranked: each needs a graph of its own."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A graph's answers to validation items."""

    log_loss: float
    accuracy: float


class Judge:
    """Answers of graphs to the same validation items; the test split is for the ladder's table alone."""

    def __init__(self, dataset: Dataset, source: Path, threads: int) -> None:
        images_NHWC, labels_N = dataset.arrays("validation")
        chosen = np.arange(min(JUDGED_ITEMS, len(labels_N)))  # their order is by content, so random
        self._labels_N = np.asarray(labels_N)[chosen]
        self._batches = batched({"image": images_NHWC[: len(chosen)]})
        self._threads = threads
        self.reference = self(source)

    def __call__(self, graph: Path) -> Judged:
        """What the graph answers to them, judged by their labels."""
        probabilities_NK = answers(open_session(graph, threads=self._threads), self._batches)
        right_N = probabilities_NK.argmax(axis=1) == self._labels_N
        return Judged(metrics.log_loss(self._labels_N, probabilities_NK), float(right_N.mean()))


def int8_of_images(
    source: Path, dataset: Dataset, folder: Path, *, max_drop: float, threads: int, say: Callable[[str], None]
) -> tuple[Path, dict[str, Any]]:
    """The INT8 graph of an image network's fp32 graph, in `folder`, and how it was made.

    Every method of choosing ranges is tried; the one with the least log loss on validation is taken. While accuracy there
    falls by more than the budget, the layers that cost most are left in float: one, then two, four and so on.

    Args:
        max_drop: of accuracy on validation, a share.
    Returns: the graph, and {method, floats: names of layers left in float, layers: their number in all}.
    Raises: DataError: too few training items.
    """
    judge = Judge(dataset, source, threads)
    calibration = _training_batches(dataset, CALIBRATION_ITEMS)
    with quantize.prepared(source) as ready:
        made = {}
        for method in quantize.METHODS:
            quantize.static(ready, folder / f"{method}.onnx", calibration, method=method)
            made[method] = judge(folder / f"{method}.onnx")
            say(f"int8, {method}: log loss {made[method].log_loss:.4f} (fp32 {judge.reference.log_loss:.4f}) on validation")
        method = min(made, key=lambda name: made[name].log_loss)
        target, found, names = folder / f"{method}.onnx", made[method], quantize.layers(ready)
        floats: list[str] = []
        ranked: list[str] = []
        while judge.reference.accuracy - found.accuracy > max_drop and len(floats) < len(names):
            ranked = ranked or _by_cost(ready, folder, dataset, method, judge)
            floats = ranked[: max(1, 2 * len(floats))]
            quantize.static(ready, target, calibration, method=method, floats=floats)
            found = judge(target)
            say(f"int8, {len(floats)} of {len(names)} layers in float: accuracy {found.accuracy:.4f} on validation")
    return target, {"method": method, "floats": floats, "layers": len(names)}


def int8_of_encoder(source: Path, folder: Path) -> tuple[Path, dict[str, Any]]:
    """The INT8 graph of an encoder's fp32 graph, in `folder`, and how it was made."""
    quantize.dynamic(source, folder / "dynamic.onnx")
    return folder / "dynamic.onnx", {"method": "dynamic", "floats": []}


def _by_cost(ready: Path, folder: Path, dataset: Dataset, method: str, judge: Judge) -> list[str]:
    """Layers, those first which alone in INT8 cost most log loss: beside other broken ones no single layer shows."""
    few, target, names = _training_batches(dataset, RANKING_ITEMS), folder / "ranking.onnx", quantize.layers(ready)
    cost = {}
    for name in names:
        quantize.static(ready, target, few, method=method, floats=[other for other in names if other != name])
        cost[name] = judge(target).log_loss
    return sorted(names, key=cost.__getitem__, reverse=True)


def _training_batches(dataset: Dataset, count: int) -> Sequence[Feeds]:
    images_NHWC, _ = dataset.arrays("train")
    return batched({"image": np.asarray(images_NHWC[:count])})
