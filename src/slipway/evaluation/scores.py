"""Scores of a bundle: its answers to the raw bytes of the test split, and the champion's answers to the same bytes.

predictions.parquet    one row an item: id, label, predicted, p_<class> …, and with a champion champion_p_<class> …, fresh
metrics.json           every number, see `summary`; all of them follow from the predictions
confusion_matrix.txt
timings.json           seconds of all items, milliseconds of one, the variants side by side; outside the digest
MANIFEST.json          SHA-256 sums, written last
"""

# N items, K classes

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import metrics
from slipway.bundle import Bundle
from slipway.data.dataset import Dataset
from slipway.errors import DataError
from slipway.evaluation.latency import latency_ms
from slipway.evaluation.robustness import measure
from slipway.evaluation.slices import by_slice, item_slices
from slipway.evaluation.summary import resampled, summarise
from slipway.store import files

OURS, THEIRS = "p_", "champion_p_"
"""What names of columns of probabilities start with, before the class."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What `evaluate` wrote, read back."""

    digest: str
    summary: Mapping[str, Any]
    """metrics.json."""
    ids: Sequence[str]
    labels_N: NDArray[np.int64]
    probabilities_NK: NDArray[np.float32]
    champion_NK: NDArray[np.float32] | None = None
    """The champion's probabilities, in this bundle's order of classes; None without a comparable champion."""
    timings: Mapping[str, Any] = field(default_factory=dict)
    """timings.json."""
    fresh_N: NDArray[np.bool_] | None = None
    """Whether neither model was trained on the item; None without a comparable champion."""

    @property
    def right_N(self) -> NDArray[np.bool_]:
        """Whether the bundle named the true class."""
        return np.asarray(self.probabilities_NK.argmax(axis=1) == self.labels_N)

    @property
    def champion_right_N(self) -> NDArray[np.bool_] | None:
        """Whether the champion named the true class."""
        return None if self.champion_NK is None else self.champion_NK.argmax(axis=1) == self.labels_N


def evaluate(
    bundle: Bundle,
    dataset: Dataset,
    out: Path,
    *,
    champion: Bundle | None,
    champion_release: str = "",
    robustness_items: int = 0,
    variants: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Score a bundle on the raw bytes of the test split and write the scores directory.

    Args:
        champion: the bundle to compare with on the same items; None for a first model.
        champion_release: digest of the champion's release, kept so that `register` can see whether it changed.
        robustness_items: test items that are disturbed in every way; 0 leaves that out.
        variants: rows of `variants.compare`, kept with the timings.
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
    numbers = summarise(labels_N, probabilities_NK)
    masks, ranges = item_slices(dataset, "test")
    theirs_NK, fresh_N, about = _champion(bundle, champion, dataset, champion_release)
    summary = {
        "bundle": bundle.digest,
        "variant": bundle.variant,
        "size_bytes": bundle.size_bytes,
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "labels": list(bundle.labels),
        **numbers,
        **resampled(labels_N, probabilities_NK, numbers),
        "slices": by_slice(labels_N, probabilities_NK, masks | dataset.slices("test"), ranges),
        "robustness": measure(bundle, dataset, max_items=robustness_items) if robustness_items else None,
        "champion": about,
    }
    scored = Scores("", summary, dataset.ids("test"), labels_N, probabilities_NK, theirs_NK, fresh_N=fresh_N)
    with files.atomic_dir(out) as scratch:
        files.write_json(scratch / "metrics.json", summary)
        (scratch / "confusion_matrix.txt").write_text(confusion_text(summary["confusion"], bundle.labels), encoding="utf-8")
        _write_predictions(scratch / "predictions.parquet", scored)
        timings = {"predict_s": seconds, "items": len(labels_N), "latency_ms": latency_ms(bundle, raw), "variants": [*variants]}
        files.write_json(scratch / "timings.json", timings)
    return out


def load(path: Path) -> Scores:
    """Read a scores directory, verified. Raises: BundleError: damaged or incomplete."""
    from pyarrow import parquet

    digest = files.verify(path).digest
    summary = files.read_json(path / "metrics.json")
    table = parquet.read_table(path / "predictions.parquet")
    labels = summary["labels"]
    position = {name: k for k, name in enumerate(labels)}

    def probabilities_NK(prefix: str) -> NDArray[np.float32]:
        return np.stack([table[f"{prefix}{name}"].to_numpy() for name in labels], axis=1)

    compared = f"{THEIRS}{labels[0]}" in table.column_names
    return Scores(
        digest,
        summary,
        table["id"].to_pylist(),
        np.array([position[name] for name in table["label"].to_pylist()], np.int64),
        probabilities_NK(OURS),
        probabilities_NK(THEIRS) if compared else None,
        files.read_json(path / "timings.json"),
        table["fresh"].to_numpy(zero_copy_only=False) if compared else None,
    )


def confusion_text(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """A table of counts for people: a line for each true class, a column for each answer."""
    width = max(len(str(max(map(max, confusion)))), *(len(name) for name in labels))
    lines = [["", *labels], *([name, *map(str, row)] for name, row in zip(labels, confusion, strict=True))]
    return "true \\ answer\n" + "\n".join("  ".join(cell.rjust(width) for cell in line) for line in lines) + "\n"


def _champion(
    bundle: Bundle, champion: Bundle | None, dataset: Dataset, release: str
) -> tuple[NDArray[np.float32] | None, NDArray[np.bool_] | None, dict[str, Any] | None]:
    """Its answers in this bundle's order of classes, which items are new to both, and what to tell of it."""
    if champion is None:
        return None, None, None
    about = {"release": release, "bundle": champion.digest, "comparable": False}
    if set(champion.labels) != set(bundle.labels) or champion.preprocess.input_name != bundle.preprocess.input_name:
        return None, None, about
    order = [champion.labels.index(name) for name in bundle.labels]
    theirs_NK = champion.predict(dataset.raw("test"))[:, order]
    fresh_N = ~np.isin(dataset.item_hashes("test"), np.union1d(_train_items(bundle), _train_items(champion)))
    accuracy = metrics.accuracy(dataset.label_indices("test"), theirs_NK.argmax(axis=1))
    return theirs_NK, fresh_N, {**about, "comparable": True, "accuracy": accuracy, "fresh_items": int(fresh_N.sum())}


def _write_predictions(path: Path, scores: Scores) -> None:
    """Names instead of numbers, so that the table can be read alone."""
    import pyarrow as pa
    from pyarrow import parquet

    labels = scores.summary["labels"]
    names = pa.array(labels)
    columns = {
        "id": pa.array(list(scores.ids)),
        "label": names.take(pa.array(scores.labels_N)),
        "predicted": names.take(pa.array(scores.probabilities_NK.argmax(axis=1))),
        **{f"{OURS}{name}": pa.array(scores.probabilities_NK[:, k]) for k, name in enumerate(labels)},
    }
    if scores.champion_NK is not None:
        columns |= {f"{THEIRS}{name}": pa.array(scores.champion_NK[:, k]) for k, name in enumerate(labels)}
        columns["fresh"] = pa.array(scores.fresh_N)
    parquet.write_table(pa.table(columns), path)


def _train_items(bundle: Bundle) -> NDArray[np.uint64]:
    items: NDArray[np.uint64] = np.load(bundle.path / "train_items.npy")
    return items
