"""Parity: the bundle, answering raw items as it will be served, against the trained model on held-out data."""

# N items, K classes

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.bundle import Bundle
from slipway.data.dataset import Dataset
from slipway.errors import ParityError
from slipway.models.restore import Restored, restore
from slipway.preprocess import Raw

ITEMS = 500
"""Held-out items compared, half of them test items where both splits have as many; all there are when there are fewer."""
MAX_RELATIVE_ERROR = 1e-3
"""Of a logit, relative to the root mean square of all logits. Measured: 1e-6 where trained, up to 1e-4 where hardly at all."""
MIN_TOP1_AGREEMENT = 0.995
BATCH_SIZES = (1, 2, 7)
"""Tried besides the bundle's own: an axis frozen in the graph shows here."""
LEAST_PROBABILITY = 1e-30
"""Logits are read off the probabilities; below this float32 no longer holds them."""
LEAST_SCALE = 1e-6
"""Of logits: what errors are relative to."""
CHUNK = 50


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The same items as a client sends them and as training saw them."""

    ids: list[str] = field(default_factory=list)
    items: list[Raw] = field(default_factory=list)
    """Raw bytes; of validation images, whose bytes are not kept, the pixels."""
    feeds: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    """Model inputs in batches of CHUNK, by training's path: of images the prepared arrays."""


def compare(checkpoint: Path, bundle: Bundle, dataset: Dataset) -> dict[str, Any]:
    """Compare labels and weights, then ask the trained model and the bundle about the same held-out items.

    Weights are compared bit by bit, since no number of items shows every one of them; items show the rest:
    preprocessing, constants, operators, free axes.

    Returns: n, relative_error (of the worst item), top1_agreement, worst (that item's split/id), and the limits.
    Raises: ParityError: labels, weights, classes or logits differ; the message says which, and names the worst item.
    """
    restored = restore(checkpoint)
    _check_labels(restored.labels, bundle.labels)
    variant = bundle.meta["variants"][bundle.variant]
    if variant["precision"] == "fp32":
        _check_weights(restored, bundle.path / variant["file"])
    held_out = pick(restored, dataset)
    temperature = float(bundle.meta["calibration"]["temperature"])
    trained_NK = _centred(np.concatenate([restored.logits(feeds) for feeds in held_out.feeds]) / temperature)
    scale = max(float(np.sqrt((trained_NK**2).mean())), LEAST_SCALE)
    report = _judge(held_out.ids, trained_NK, bundle.predict(held_out.items), scale, bundle.labels)
    few = held_out.items[: max(BATCH_SIZES)]
    for size in BATCH_SIZES:
        served_NK = np.concatenate([bundle.predict(few[i : i + size]) for i in range(0, len(few), size)])
        _judge(held_out.ids, trained_NK[: len(few)], served_NK, scale, bundle.labels, where=f" in batches of {size}")
    return {
        "n": len(held_out.ids),
        **report,
        "max_relative_error": MAX_RELATIVE_ERROR,
        "min_top1_agreement": MIN_TOP1_AGREEMENT,
    }


def pick(restored: Restored, dataset: Dataset) -> HeldOut:
    """Up to ITEMS items of the test and validation splits, the first of each: their order is by content, so random."""
    held_out = HeldOut()
    for split, count in shares(dataset).items():
        held_out.ids.extend(f"{split}/{name}" for name in dataset.ids(split)[:count])
        if restored.meta["input"]:
            images_NHWC, _ = dataset.arrays(split)
            held_out.items.extend(dataset.raw("test")[i] if split == "test" else images_NHWC[i] for i in range(count))
            chunks = [np.asarray(images_NHWC[i : min(i + CHUNK, count)]) for i in range(0, count, CHUNK)]
            held_out.feeds.extend({"image": chunk} for chunk in chunks)
        else:
            texts = dataset.texts(split)[:count]
            held_out.items.extend(text.encode() for text in texts)
            held_out.feeds.extend(restored.preprocess.encode(texts[i : i + CHUNK]) for i in range(0, count, CHUNK))
    return held_out


def shares(dataset: Dataset) -> dict[str, int]:
    """How many items of the test and validation splits are compared."""
    there = {split: len(dataset.label_indices(split)) for split in ("test", "validation")}
    test = min(there["test"], max(ITEMS // 2, ITEMS - there["validation"]))
    return {"test": test, "validation": min(there["validation"], ITEMS - test)}


def _check_labels(trained: Sequence[str], served: Sequence[str]) -> None:
    if list(trained) != list(served):
        at = next((i for i, (a, b) in enumerate(zip(trained, served, strict=False)) if a != b), min(len(trained), len(served)))
        a, b = (names[at] if at < len(names) else "nothing" for names in (trained, served))
        raise ParityError(f"parity: labels differ at position {at}: the model was trained with '{a}', the bundle says '{b}'")


def _check_weights(restored: Restored, graph: Path) -> None:
    """Every weight is in the graph bit by bit: under its own name, or under another and perhaps transposed."""
    import onnx
    from onnx import numpy_helper

    initializers = {t.name: numpy_helper.to_array(t) for t in onnx.load(graph).graph.initializer}
    known = {_sum(array) for array in initializers.values()}
    for name, weight in restored.model.state_dict().items():
        array = np.asarray(weight)
        if not np.issubdtype(array.dtype, np.floating):
            continue  # counters of batch norm
        named = initializers.get(f"model.{name}")
        if not (np.array_equal(array, named) if named is not None else _sum(array) in known or _sum(array.T) in known):
            raise ParityError(f"parity: weight '{name}' of the checkpoint is not in the bundle's graph; export again")


def _sum(array: NDArray[Any]) -> tuple[tuple[int, ...], bytes]:
    return array.shape, hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest()


def _judge(
    ids: list[str],
    trained_NK: NDArray[np.float64],
    probabilities_NK: NDArray[np.float32],
    scale: float,
    labels: Sequence[str],
    where: str = "",
) -> dict[str, Any]:
    if probabilities_NK.shape != trained_NK.shape:
        raise ParityError(
            f"parity{where}: the bundle answers {list(probabilities_NK.shape)}, the model {list(trained_NK.shape)}"
        )
    served_NK = _log(probabilities_NK)
    found = _differ(ids, trained_NK, served_NK, scale)
    error, agreement, worst = found["relative_error"], found["top1_agreement"], ids.index(found["worst"])
    if not (error <= MAX_RELATIVE_ERROR and agreement >= MIN_TOP1_AGREEMENT):  # NaN fails, too
        first, second = (labels[int(row[worst].argmax())] for row in (trained_NK, served_NK))
        raise ParityError(
            f"parity{where}: the bundle does not answer as the trained model: relative error {error:.2g} (limit "
            f"{MAX_RELATIVE_ERROR:g}), same class for {agreement:.1%} of {len(ids)} items (limit {MIN_TOP1_AGREEMENT:.1%}); "
            f"worst is {ids[worst]}, trained '{first}', bundle '{second}'"
        )
    return found


def difference(ids: Sequence[str], base_NK: NDArray[np.float32], probabilities_NK: NDArray[np.float32]) -> dict[str, Any]:
    """How far the answers of two variants of a bundle are apart: relative_error (of the worst item), top1_agreement, worst."""
    expected_NK = _log(base_NK)
    scale = max(float(np.sqrt((expected_NK**2).mean())), LEAST_SCALE)
    return _differ(ids, expected_NK, _log(probabilities_NK), scale)


def _differ(
    ids: Sequence[str], expected_NK: NDArray[np.float64], found_NK: NDArray[np.float64], scale: float
) -> dict[str, Any]:
    errors_N = np.abs(found_NK - expected_NK).max(axis=1) / scale
    worst = int(np.argmax(np.nan_to_num(errors_N, nan=np.inf)))
    agree_N = found_NK.argmax(axis=1) == expected_NK.argmax(axis=1)
    return {"relative_error": float(errors_N[worst]), "top1_agreement": float(agree_N.mean()), "worst": ids[worst]}


def _log(probabilities_NK: NDArray[np.float32]) -> NDArray[np.float64]:
    return _centred(np.log(np.maximum(probabilities_NK.astype(np.float64), LEAST_PROBABILITY)))


def _centred(logits_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log-probabilities no lower than LEAST_PROBABILITY, with mean 0 per item: what logits and probabilities both know."""
    with np.errstate(invalid="ignore"):  # NaN is judged by the caller
        log_p_NK = logits_NK - np.logaddexp.reduce(logits_NK, axis=1, keepdims=True)
    log_p_NK = np.maximum(log_p_NK, np.log(LEAST_PROBABILITY))
    return np.asarray(log_p_NK - log_p_NK.mean(axis=1, keepdims=True))
