"""The ladder: an fp32 bundle and the variants made of it, measured on the same test items and in the same rounds.

bundle/        the bundle with every variant; the fp32 one stays its default
ladder.json    every number
ladder.csv     the table
ladder.png     accuracy against latency
MANIFEST.json
"""

# N items

import csv
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import bundle as bundles
from slipway import metrics, provenance
from slipway.bundle import Bundle
from slipway.data.dataset import Dataset
from slipway.errors import ConfigError
from slipway.evaluation.compare import bootstrap_difference
from slipway.export.onnx import check_dataset
from slipway.optimise import measure, picture, variants
from slipway.store import files

BASE = "onnxruntime-fp32"
INT8 = "onnxruntime-int8"
COLUMNS = ("variant", "accuracy", "difference", "difference_low", "difference_high", "ms", "speed_up", "mb", "size_ratio")
MAX_DROP = 0.005


def optimise(
    bundle: Bundle,
    dataset: Dataset,
    out: Path,
    *,
    max_drop: float = MAX_DROP,
    threads: int = 1,
    seconds: float = 10.0,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Make the INT8 variant, measure it against fp32, and write the ladder's directory, complete or not at all.

    Args:
        dataset: the one the bundle was trained on: its training items calibrate, validation chooses, the test split is read
            once, for the table.
        max_drop: budget, largest fall of accuracy on validation, a share in [0, 1): layers are left in float for it.
        threads: of the engine.
        seconds: of timing, for all variants together.
        say: told what goes on.
    Returns: ladder.json: `rows`, each with COLUMNS and `made`; n, batch, threads, cpu_flags, max_drop, bundle (digest).
    Raises:
        ConfigError: no fp32 variant, or a model without layers to quantise.
        DataError: another data set, or too few items.
    """
    if not 0 <= max_drop < 1:
        raise ConfigError(f"max drop: must be at least 0 and below 1, got {max_drop:g}")
    if BASE not in bundle.meta["variants"]:
        raise ConfigError(f"{bundle.path}: has no variant {BASE}, which all others are made of; export again")
    check_dataset(bundle.meta, bundle.path, dataset)
    source = bundle.path / bundle.meta["variants"][BASE]["file"]
    with tempfile.TemporaryDirectory(prefix="slipway-optimise-") as scratch:
        graph, about = _int8(bundle, source, dataset, Path(scratch), max_drop, threads, say)
        with files.atomic_dir(out) as inside:
            bundles.with_variants(bundle, inside / "bundle", {INT8: (graph, about)})
            result = _measured(bundle, dataset, {BASE: source, INT8: graph}, {INT8: about}, threads, seconds)
            result |= {"max_drop": max_drop, "bundle": files.read_manifest(inside / "bundle").digest}
            files.write_json(inside / "ladder.json", result)
            with (inside / "ladder.csv").open("w", encoding="utf-8", newline="") as f:
                table = csv.DictWriter(f, COLUMNS, extrasaction="ignore", lineterminator="\n")
                table.writeheader()
                table.writerows(result["rows"])
            files.write_bytes(inside / "ladder.png", picture.draw(dataset.name, result["rows"]))
    return result


def _int8(
    bundle: Bundle, source: Path, dataset: Dataset, scratch: Path, max_drop: float, threads: int, say: Callable[[str], None]
) -> tuple[Path, dict[str, Any]]:
    if bundle.preprocess.input_name == "image":
        return variants.int8_of_images(source, dataset, scratch, max_drop=max_drop, threads=threads, say=say)
    if "attention_mask" not in bundle.preprocess.encode(["a"]):
        raise ConfigError(f"int8: a {bundle.meta['architecture']} is a single sparse product; there are no layers to quantise")
    return variants.int8_of_encoder(source, scratch)


def _measured(
    bundle: Bundle,
    dataset: Dataset,
    paths: Mapping[str, Path],
    made: Mapping[str, Mapping[str, Any]],
    threads: int,
    seconds: float,
) -> dict[str, Any]:
    sessions = {name: bundles.open_session(path, threads=threads) for name, path in paths.items()}
    raw, labels_N = dataset.raw("test"), dataset.label_indices("test")
    answers: dict[str, list[NDArray[np.intp]]] = {name: [] for name in paths}
    for start in range(0, len(raw), bundles.BATCH):
        feeds = bundle.preprocess.encode(raw[start : start + bundles.BATCH])
        for name, session in sessions.items():
            answers[name].append(session.run(["probabilities"], feeds)[0].argmax(axis=1))
    right: dict[str, NDArray[np.bool_]] = {name: np.concatenate(parts) == labels_N for name, parts in answers.items()}
    one = bundle.preprocess.encode(raw[:1])
    calls = {name: partial(session.run, ["probabilities"], one) for name, session in sessions.items()}
    taken = measure.milliseconds(calls, seconds=seconds)
    rows = []
    for name, path in paths.items():
        low, high = bootstrap_difference(right[name], right[BASE]) if name != BASE else (0.0, 0.0)
        ratios = [base / own for base, own in zip(taken[BASE], taken[name], strict=True)]
        count = int(right[name].sum())
        accuracy_low, accuracy_high = metrics.wilson_interval(count, len(labels_N))
        mb = path.stat().st_size / 1e6
        rows.append(
            {
                "variant": name,
                "accuracy": count / len(labels_N),
                "accuracy_low": accuracy_low,
                "accuracy_high": accuracy_high,
                "difference": float(right[name].mean() - right[BASE].mean()),
                "difference_low": low,
                "difference_high": high,
                "ms": float(np.median(taken[name])),
                "speed_up": float(np.median(ratios)),
                "speed_up_low": min(ratios),
                "speed_up_high": max(ratios),
                "mb": mb,
                "size_ratio": mb / (paths[BASE].stat().st_size / 1e6),
                "made": dict(made.get(name, {})),
            }
        )
    return {
        "rows": rows,
        "data": dataset.name,
        "n": len(labels_N),
        "batch": 1,
        "threads": threads,
        "cpu_flags": provenance.cpu_flags(),
    }
