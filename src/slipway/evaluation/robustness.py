"""What the served path answers when the raw test items are disturbed."""

# N items

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import metrics, settings
from slipway.bundle import Bundle
from slipway.data.dataset import Dataset
from slipway.data.progress import Progress, to_stderr
from slipway.errors import DataError
from slipway.evaluation.corruptions import CORRUPTIONS, disturbed, opened

CHUNK = 32
"""Items a thread takes at a time: a few dozen decoded images in memory for each thread."""


def measure(bundle: Bundle, dataset: Dataset, *, max_items: int) -> dict[str, Any]:
    """Accuracy on disturbed test items, each sent as a client would: encoded, through `Bundle.predict`.

    Args:
        max_items: per disturbance and severity: the first ones, which are a random sample; more take longer. At least 1.

    Returns, as JSON values, accuracies in [0, 1] with their 95 % interval as `_low` and `_high`:
        n, of                       items disturbed, of how many in the test split
        accuracy                    of the same items undisturbed
        corruptions                 by name: `unit`, `description`, and over the severities `accuracy` (mean) and
                                    `difference` (mean, to the undisturbed)
        rows                        one a corruption and severity, mild to strong: `corruption`, `severity`, `unit`, n,
                                    `accuracy`, `undisturbed`, `difference`, and of the items how many were right before
                                    only (`lost`) and after only (`gained`)
        worst                       the row with the largest loss
    Raises: DataError: the data set's classes or items are not the bundle's.
    """
    if list(bundle.labels) != list(dataset.labels) or bundle.preprocess.input_name != dataset.kind:
        raise DataError(
            f"{dataset.path}: {dataset.kind}s of {', '.join(dataset.labels)}, the model takes "
            f"{bundle.preprocess.input_name}s of {', '.join(bundle.labels)}; measure on data of its own classes"
        )
    labels_N = dataset.label_indices("test")[:max_items]
    raw, seeds = dataset.raw("test")[: len(labels_N)], dataset.item_hashes("test")[: len(labels_N)].tolist()
    names = [name for name, corruption in CORRUPTIONS.items() if corruption.kind == dataset.kind]
    planned = [(name, severity) for name in names for severity in CORRUPTIONS[name].severities]
    meter = Progress("robustness", len(planned) * len(raw), to_stderr)
    counting = Lock()

    def answer(start: int) -> list[NDArray[np.intp]]:
        chunk = slice(start, start + CHUNK)
        answers = [bundle.predict(raw[chunk]).argmax(axis=1)]
        items = [opened(r, bundle.preprocess) for r in raw[chunk]]
        for name, severity in planned:
            sent = [disturbed(name, severity, item, seed) for item, seed in zip(items, seeds[chunk], strict=True)]
            answers.append(bundle.predict(sent).argmax(axis=1))
            with counting:
                meter.step(len(sent))
        return answers

    with ThreadPoolExecutor(settings.load().threads) as pool:
        chunks = list(pool.map(answer, range(0, len(raw), CHUNK)))
    before_N, *after = (np.concatenate(parts) == labels_N for parts in zip(*chunks, strict=True))
    rows = [_row(name, severity, before_N, after_N) for (name, severity), after_N in zip(planned, after, strict=True)]
    return {
        "n": len(raw),
        "of": len(dataset.raw("test")),
        **_share("accuracy", before_N),
        "corruptions": {name: _headline(name, rows) for name in names},
        "rows": rows,
        "worst": min(rows, key=lambda row: row["difference"]),
    }


def _share(name: str, right_N: NDArray[np.bool_]) -> dict[str, float]:
    low, high = metrics.wilson_interval(int(right_N.sum()), len(right_N))
    return {name: float(right_N.mean()), f"{name}_low": low, f"{name}_high": high}


def _row(name: str, severity: float, before_N: NDArray[np.bool_], after_N: NDArray[np.bool_]) -> dict[str, Any]:
    lost, gained = int((before_N & ~after_N).sum()), int((after_N & ~before_N).sum())
    return {
        "corruption": name,
        "severity": severity,
        "unit": CORRUPTIONS[name].unit,
        "n": len(after_N),
        **_share("accuracy", after_N),
        "undisturbed": float(before_N.mean()),
        "difference": (gained - lost) / len(after_N),
        "lost": lost,
        "gained": gained,
    }


def _headline(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    own = [row for row in rows if row["corruption"] == name]
    return {
        "unit": CORRUPTIONS[name].unit,
        "description": CORRUPTIONS[name].description,
        "accuracy": sum(row["accuracy"] for row in own) / len(own),
        "difference": sum(row["difference"] for row in own) / len(own),
    }
