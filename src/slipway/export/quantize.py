"""Exported graphs in INT8: of image networks with ranges measured on training data, of encoders with ranges found as they run.

Image networks: QDQ, unsigned activations and signed weights per channel, which onnxruntime multiplies by VNNI or AMX; signed
activations, and ranges found at run time, were slower than float for convolutions. Encoders: dynamic, for the reverse reason.
"""

import logging
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.errors import ConfigError, DataError
from slipway.export import graph

METHODS = ("MinMax", "Entropy", "Percentile")
"""How a range is chosen from the activations seen, by onnxruntime's names."""
LEAST_ITEMS = 32
"""Of calibration; with fewer the ranges are those of a few items."""
AT_ONCE = 8
"""Items of calibration whose activations, all of the network's, are in memory together."""
PRODUCTS = ("Conv", "MatMul", "Gemm")
"""Operators with weights."""
OPERATORS = (*PRODUCTS, "Add", "Mul", "Concat", "MaxPool", "AveragePool", "Relu", "Clip")
"""Quantised; whatever leads from the logits to probabilities is not: 256 values hold no probability near 0."""

Feeds = Mapping[str, NDArray[Any]]


@contextmanager
def prepared(source: Path) -> Iterator[Path]:
    """The graph with batch norms folded and shapes inferred, as static quantisation wants it."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="slipway-int8-") as folder, _quiet():
        target = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(target), skip_symbolic_shape=True)
        yield target


def layers(path: Path) -> list[str]:
    """Names of the layers of a prepared graph that `static` quantises, from input to output: the last one, whose output are
    the logits, and the map's are not among them.
    """
    import onnx

    model = onnx.load(path).graph
    weights = {tensor.name for tensor in model.initializer}
    found = [node for node in model.node if node.op_type in PRODUCTS and weights & set(node.input)]
    return [node.name for node in found if graph.HEATMAP not in node.output][:-1]


def static(path: Path, target: Path, batches: Sequence[Feeds], *, method: str, floats: Collection[str] = ()) -> None:
    """Quantise a prepared graph; its last layer and its map stay in float.

    Args:
        batches: graph inputs of training items, any number in each.
        method: one of METHODS.
        floats: names of `layers` that stay in float.
    Raises:
        DataError: fewer than LEAST_ITEMS items.
        ConfigError: an unknown method, or batches of another model's inputs.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    if method not in METHODS:
        raise ConfigError(f"method: must be one of {', '.join(METHODS)}, got '{method}'")
    model = onnx.load(path).graph
    wanted = {tensor.name for tensor in model.input}
    for batch in batches:
        if set(batch) != wanted:
            raise ConfigError(f"calibration: the graph reads {', '.join(sorted(wanted))}, got {', '.join(sorted(batch))}")
    items = sum(len(next(iter(batch.values()))) for batch in batches)
    if items < LEAST_ITEMS:
        raise DataError(f"calibration: {items} training items, at least {LEAST_ITEMS} are needed; give more data")
    quantised = {*layers(path)} - {*floats}
    kept = [node.name for node in model.node if node.op_type in PRODUCTS and node.name not in quantised]
    with _quiet():
        quantize_static(
            str(path),
            str(target),
            _Reader(batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod[method],
            op_types_to_quantize=list(OPERATORS),
            nodes_to_exclude=kept,
            extra_options={"CalibStridedMinMax": 1},  # ranges batch by batch, by any method: else all activations are kept
        )
    _rewrite(target)


def dynamic(source: Path, target: Path) -> None:
    """Quantise the weights of an exported encoder, embeddings too; activations as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(str(source), str(target), per_channel=True, weight_type=QuantType.QInt8)
    _rewrite(target)


class _Reader:
    """What onnxruntime pulls calibration items from, AT_ONCE at a time."""

    def __init__(self, batches: Sequence[Feeds]) -> None:
        whole = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        starts = range(0, len(next(iter(whole.values()))), AT_ONCE)
        self._batches = [{name: array[i : i + AT_ONCE] for name, array in whole.items()} for i in starts]
        self._left = iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = iter(self._batches[start_index:end_index])

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._left, None)


def _rewrite(path: Path) -> None:
    """As every graph is written; what onnxruntime's tools noted in it is left out."""
    import onnx

    model = onnx.load(path)
    told = {prop.key: prop.value for prop in model.metadata_props if not prop.key.startswith("onnx.")}
    graph.write(model, told, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime's tools print progress and advice that a caller cannot follow."""
    import io
    from contextlib import redirect_stdout

    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(before)
