"""Scores of a bundle: its answers to the raw bytes of the test split, and the champion's answers to the same bytes."""

# N items, K classes

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import metrics
from slipway.bundle import Bundle
from slipway.data.dataset import Dataset
from slipway.errors import DataError
from slipway.store import files


@dataclass(frozen=True, slots=True)
class Scores:
    """What `evaluate` wrote, read back."""

    digest: str
    summary: Mapping[str, Any]
    """scores.json."""
    labels_N: NDArray[np.int64]
    probabilities_NK: NDArray[np.float32]
    champion_right_N: NDArray[np.bool_] | None
    """Whether the champion named the true class; None without a comparable champion."""
    fresh_N: NDArray[np.bool_] | None
    """Whether neither model was trained on the item; None without a comparable champion."""

    @property
    def right_N(self) -> NDArray[np.bool_]:
        """Whether the bundle named the true class."""
        return np.asarray(self.probabilities_NK.argmax(axis=1) == self.labels_N)


def evaluate(bundle: Bundle, dataset: Dataset, out: Path, *, champion: Bundle | None, champion_release: str = "") -> Path:
    """Score a bundle on the raw bytes of the test split and write the scores directory.

    Files: scores.json (numbers), predictions.npz (ids, labels, probabilities, and the champion's), timings.json.

    Args:
        champion: the bundle to compare with on the same items; None for a first model.
        champion_release: digest of the champion's release, kept so that `register` can see whether it changed.
    Raises: DataError: the data set's classes are not the bundle's.
    """
    if list(bundle.labels) != list(dataset.labels):
        raise DataError(
            f"{dataset.path}: its classes {list(dataset.labels)} are not those of the model, {list(bundle.labels)}; "
            f"evaluate on data with the same classes"
        )
    raw, labels_N = dataset.raw("test"), dataset.label_indices("test")
    started = time.perf_counter()
    probabilities_NK = bundle.predict(raw)
    seconds = time.perf_counter() - started
    summary = {
        "bundle": bundle.digest,
        "variant": bundle.variant,
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "labels": list(bundle.labels),
        **summarise(labels_N, probabilities_NK),
        "champion": None,
    }
    arrays: dict[str, NDArray[Any]] = {
        "ids": np.array(dataset.ids("test"), dtype=np.str_),
        "labels": labels_N,
        "probabilities": probabilities_NK,
    }
    if champion is not None:
        summary["champion"] = {"release": champion_release, "bundle": champion.digest, "comparable": False}
        if set(champion.labels) == set(bundle.labels) and champion.preprocess.input_name == bundle.preprocess.input_name:
            order = [champion.labels.index(name) for name in bundle.labels]
            theirs_NK = champion.predict(raw)[:, order]
            trained = np.union1d(_train_items(bundle), _train_items(champion))
            arrays |= {
                "champion_probabilities": theirs_NK,
                "fresh": ~np.isin(dataset.item_hashes("test"), trained),
            }
            summary["champion"] |= {
                "comparable": True,
                "accuracy": metrics.accuracy(labels_N, theirs_NK.argmax(axis=1)),
                "fresh_items": int(arrays["fresh"].sum()),
            }
    with files.atomic_dir(out) as scratch:
        files.write_json(scratch / "scores.json", summary)
        np.savez(scratch / "predictions.npz", allow_pickle=False, **arrays)
        files.write_json(scratch / "timings.json", {"predict_s": seconds, "items": len(labels_N)})
    return out


def summarise(labels_N: NDArray[np.int64], probabilities_NK: NDArray[np.float32]) -> dict[str, Any]:
    """The headline numbers as JSON values: accuracy with its 95 % interval and n, log loss, recall per class, confusion."""
    predicted_N = probabilities_NK.argmax(axis=1)
    confusion_KK = metrics.confusion(labels_N, predicted_N, probabilities_NK.shape[1])
    low, high = metrics.wilson_interval(int((predicted_N == labels_N).sum()), len(labels_N))
    return {
        "n": len(labels_N),
        "accuracy": metrics.accuracy(labels_N, predicted_N),
        "accuracy_low": low,
        "accuracy_high": high,
        "log_loss": metrics.log_loss(labels_N, probabilities_NK),
        "recall": [None if np.isnan(r) else float(r) for r in metrics.recall_per_class(confusion_KK)],
        "confusion": confusion_KK.tolist(),
    }


def load(path: Path) -> Scores:
    """Read a scores directory, verified. Raises: BundleError: damaged or incomplete."""
    digest = files.verify(path).digest
    summary = json.loads((path / "scores.json").read_text(encoding="utf-8"))
    with np.load(path / "predictions.npz") as stored:
        labels_N, probabilities_NK = stored["labels"], stored["probabilities"]
        theirs_NK, fresh_N = stored.get("champion_probabilities"), stored.get("fresh")
    champion_right_N = None if theirs_NK is None else theirs_NK.argmax(axis=1) == labels_N
    return Scores(digest, summary, labels_N, probabilities_NK, champion_right_N, fresh_N)


def _train_items(bundle: Bundle) -> NDArray[np.uint64]:
    items: NDArray[np.uint64] = np.load(bundle.path / "train_items.npy")
    return items
