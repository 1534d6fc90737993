"""A bundle's variants side by side, on the same test items and in the same rounds; and the order to serve them in.

What `export` found of a variant on validation decides whether it may be served, its time on this machine decides when: the
test split has no say in the choice.
"""

# N items, K classes

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import bundle as bundles
from slipway import metrics
from slipway.bundle import BASE, Bundle
from slipway.data.dataset import Dataset
from slipway.engines import Feeds
from slipway.errors import BundleError
from slipway.evaluation.bench import bench
from slipway.evaluation.compare import bootstrap_difference
from slipway.evaluation.latency import milliseconds

COLUMNS = (
    "variant", "accuracy", "difference", "difference_low", "difference_high", "ms", "speed_up", "mb", "size_ratio", "memory_mb",
    "allowed",
)  # fmt: skip
"""Of the table as CSV."""
MEMORY_S = 0.1
"""Of answers, in the process whose memory is measured."""
LEAST_GAIN = 1.05
"""Times as fast as BASE that a variant must be to go before it: less is within what two measurements differ."""


def compare(
    path: Path, dataset: Dataset, *, threads: int, seconds: float = 5.0, students: Mapping[str, Path] | None = None
) -> list[dict[str, Any]]:
    """Measure every variant of a bundle that this machine can run; one that it cannot is told on stderr.

    Args:
        threads: of the engine.
        seconds: of timing, for all of them together; the items' answers come on top.
        students: further bundles by name, measured beside it; their variants are called <name>/<variant>.
    Returns: a row each, BASE first, which all are compared with: COLUMNS, accuracy_low and accuracy_high (95 %), speed_up_low
        and speed_up_high (of the rounds), student (its name; empty for the bundle's own), and `about`, what bundle.json says
        of it. `ms` is the median of the graph alone for the first test item, `memory_mb` the peak of a process that answers
        it, beyond what Python takes.
    Raises: DataError: an item cannot be read.
    """
    found: dict[str, Bundle] = _opened(path, threads)
    owners = dict.fromkeys(found, "")
    for student, place in (students or {}).items():
        its = {f"{student}/{name}": one for name, one in _opened(place, threads).items()}
        found |= its
        owners |= dict.fromkeys(its, student)
    base = found[BASE]
    raw, labels_N = dataset.raw("test"), dataset.label_indices("test")
    answers: dict[str, list[NDArray[np.intp]]] = {name: [] for name in found}
    for start in range(0, len(raw), bundles.BATCH):
        feeds: dict[str, Feeds] = {}
        for name, one in found.items():
            if owners[name] not in feeds:  # a bundle's variants read the same
                feeds[owners[name]] = one.preprocess.encode(raw[start : start + bundles.BATCH])
            answers[name].append(one.run(feeds[owners[name]]).argmax(axis=1))
    right = {name: np.concatenate(parts) == labels_N for name, parts in answers.items()}
    calls = {name: partial(one.run, one.preprocess.encode(raw[:1])) for name, one in found.items()}
    taken = milliseconds(calls, seconds=seconds)
    rows = []
    for name, one in found.items():
        count = int(right[name].sum())
        low, high = metrics.wilson_interval(count, len(labels_N))
        difference_low, difference_high = bootstrap_difference(right[name], right[BASE]) if one is not base else (0.0, 0.0)
        ratios = [before / now for before, now in zip(taken[BASE], taken[name], strict=True)]
        (process,) = bench(
            one.path, variant=one.variant, items=raw[:1], batches=(1,), threads=(max(1, threads),), seconds=MEMORY_S
        )
        about = one.meta["variants"][one.variant]
        rows.append(
            {
                "variant": name,
                "student": owners[name],
                "accuracy": count / len(labels_N),
                "accuracy_low": low,
                "accuracy_high": high,
                "difference": float(right[name].mean() - right[BASE].mean()),
                "difference_low": difference_low,
                "difference_high": difference_high,
                "ms": float(np.median(taken[name])),
                "speed_up": float(np.median(ratios)),
                "speed_up_low": min(ratios),
                "speed_up_high": max(ratios),
                "mb": one.size_bytes / 1e6,
                "size_ratio": one.size_bytes / base.size_bytes,
                "memory_mb": process.memory_mb,
                "allowed": one is base or bool(about["validation"]["allowed"]),
                "about": about,
            }
        )
    return rows


def choose(path: Path, dataset: Dataset, *, threads: int) -> tuple[Bundle, list[dict[str, Any]]]:
    """The variant of a bundle that `order` puts first, and the rows that say why; none where there is only one.

    Raises: DataError: see `compare`.
    """
    base = bundles.load(path, variant=BASE, threads=threads)
    if len(base.meta["variants"]) == 1:
        return base, []
    rows = compare(path, dataset, threads=threads)
    return bundles.load(path, variant=order(rows)[0], threads=threads), rows


def order(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the variants to serve, best first: what is allowed and faster than BASE by LEAST_GAIN, fastest first; BASE."""
    faster = [row for row in rows if row["allowed"] and row["variant"] != BASE and row["speed_up"] >= LEAST_GAIN]
    return [*(str(row["variant"]) for row in sorted(faster, key=lambda row: float(row["ms"]))), BASE]


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a table for other programs."""
    target = io.StringIO()
    table = csv.DictWriter(target, COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return target.getvalue()


def _opened(path: Path, threads: int) -> dict[str, Bundle]:
    base = bundles.load(path, variant=BASE, threads=threads)
    found = {BASE: base}
    for name in base.meta["variants"]:
        try:
            found[name] = base if name == BASE else bundles.load(path, variant=name, threads=threads, prove=True)
        except BundleError as exc:
            sys.stderr.write(f"{name} is left out: {exc}\n")
    return found
