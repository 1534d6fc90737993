"""Checkpoint in, closed bundle out: graph, temperature, self-test, drift reference, and parity proven."""

# N items, K classes

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import bundle as bundles
from slipway import provenance
from slipway.data.dataset import Dataset
from slipway.errors import DataError
from slipway.export import parity
from slipway.export.calibrate import Calibration, fit_temperature, softmax
from slipway.export.reference import reference, selftest_items
from slipway.models import architectures
from slipway.models.restore import Restored, restore
from slipway.models.runtime import before_torch
from slipway.preprocess.text import lengths
from slipway.store import files

CHUNK = 64
COPIED = ("family", "architecture", "options", "labels", "input", "config", "data")
"""Of model.json, taken into bundle.json."""
OPTIONAL = ("members", "tta", "start", "pruned")
"""Taken too, where they are there: see `models.restore` and `training.result`."""


def export(checkpoint: Path, dataset: Dataset, out: Path) -> Path:
    """Export a checkpoint to a bundle, complete or not at all.

    The temperature is fitted on the validation split and kept if it lowers the log loss there. The bundle is compared
    with the checkpoint on held-out items before it appears.

    Args:
        dataset: the one the checkpoint was trained on.
    Returns: `out`.
    Raises:
        DataError: the checkpoint was trained on another data set.
        ParityError: the bundle does not answer as the trained model does.
    """
    files.verify(checkpoint)
    before_torch()
    restored = restore(checkpoint)
    check_dataset(restored.meta, restored.path, dataset)
    for split in ("validation", "test"):
        if not len(dataset.label_indices(split)):
            raise DataError(f"{dataset.path}: no items in the {split} split; give more data or another split")
    threads = int(restored.meta["config"]["threads"])
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="slipway-export-") as scratch, _session(restored, threads):
        started = time.perf_counter()
        feeds, logits_NK = _validation(restored, dataset)
        calibration = fit_temperature(logits_NK, dataset.label_indices("validation"))
        seconds["calibrate_s"] = time.perf_counter() - started
        started = time.perf_counter()
        graph = Path(scratch) / "model.onnx"
        _write_graph(restored, calibration.temperature, graph)
        seconds["graph_s"] = time.perf_counter() - started
        parts = {
            "meta": _meta(restored, calibration, threads),
            "preprocess": restored.preprocess,
            "weights": _weights(checkpoint),
            "variants": {bundles.BASE: graph},
            "train_items": np.load(checkpoint / "train_items.npy"),
            "selftest_items": selftest_items(restored.meta),
            "reference": reference(
                feeds=feeds,
                probabilities_NK=softmax(logits_NK / calibration.temperature),
                train_labels_N=dataset.label_indices("train"),
            ),
        }
        started = time.perf_counter()
        candidate = Path(scratch) / "bundle"
        bundles.save(candidate, **parts, timings={})
        report = parity.compare(checkpoint, bundles.load(candidate, threads=threads), dataset)
        seconds["parity_s"] = time.perf_counter() - started
        parts["meta"] |= {"parity": report}
        bundles.save(out, **parts, timings=seconds)
    return out


def check_dataset(meta: Mapping[str, Any], trained: Path, dataset: Dataset) -> None:
    """Raises: DataError: the model was trained on another data set.

    Args:
        meta: model.json or bundle.json of what lies at `trained`.
    """
    about = meta["data"]
    if about["fingerprint"] != dataset.fingerprint or list(meta["labels"]) != list(dataset.labels):
        raise DataError(
            f"{dataset.path}: is data set {dataset.name} ({dataset.fingerprint[:12]}), but {trained} was trained on "
            f"{about['name']} ({about['fingerprint'][:12]}); give that one"
        )


def _session(restored: Restored, threads: int) -> Any:
    from contextlib import nullcontext

    if _is_tfidf(restored):
        return nullcontext()
    from slipway.models.runtime import torch_session

    return torch_session(threads=threads, deterministic=bool(restored.meta["config"]["deterministic"]))


def _write_graph(restored: Restored, temperature: float, path: Path) -> None:
    if _is_tfidf(restored):
        from slipway.export.tfidf_graph import write_graph
    else:
        from slipway.export.torch_graph import write_graph
    write_graph(restored, temperature, path)


def _is_tfidf(restored: Restored) -> bool:
    return architectures.find(restored.meta["architecture"]).input == "tfidf"


def _validation(restored: Restored, dataset: Dataset) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64]]:
    """What drift is measured against, and the logits [N, K] of the validation split."""
    if restored.meta["input"]:
        images_NHWC, _ = dataset.arrays("validation")
        count = len(images_NHWC)
        logits = [restored.logits({"image": images_NHWC[i : i + CHUNK]}) for i in range(0, count, CHUNK)]
        return {"image": images_NHWC}, np.concatenate(logits)
    texts = dataset.texts("validation")
    feeds = [restored.preprocess.encode(texts[i : i + CHUNK]) for i in range(0, len(texts), CHUNK)]
    lengths_N = np.concatenate([lengths(part) for part in feeds])
    return {"length": lengths_N}, np.concatenate([restored.logits(part) for part in feeds])


def _meta(restored: Restored, calibration: Calibration, threads: int) -> dict[str, Any]:
    return {
        **{name: restored.meta[name] for name in COPIED},
        **{name: restored.meta[name] for name in OPTIONAL if name in restored.meta},
        "calibration": asdict(calibration),
        "training": {"best": restored.meta["best"], "checkpoint": files.read_manifest(restored.path).digest},
        "environment": provenance.environment(threads),
        "code": provenance.code_fingerprint(),
    }


def _weights(checkpoint: Path) -> dict[str, NDArray[Any]]:
    from safetensors.numpy import load_file

    weights: dict[str, NDArray[Any]] = load_file(checkpoint / "weights.safetensors")
    return weights
