"""Several architectures or recipes on one data set, side by side: accuracy, size, training time, latency."""

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from slipway import metrics, provenance
from slipway.data.dataset import Dataset
from slipway.data.progress import to_stderr
from slipway.search import trial
from slipway.search.failure import one_line, traced
from slipway.settings import Settings
from slipway.store import files
from slipway.training.recipe import TrainConfig

COLUMNS = (
    "candidate", "accuracy", "accuracy_low", "accuracy_high", "accuracy_sd", "n", "seeds", "log_loss", "parameters",
    "bundle_mb", "train_s", "cpu_ms", "cpu_p90_ms", "gpu_ms", "gpu_p90_ms", "architecture", "bundle", "error",
)  # fmt: skip
"""Of compare.csv, and the names of each row in compare.json."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came out."""

    title: str
    about: Mapping[str, Any]
    """The data set, the split, and the machine."""
    rows: Sequence[Mapping[str, Any]]
    """One per candidate, by COLUMNS: the most accurate first, those that failed last."""
    failures: Sequence[Exception] = field(default=())

    def json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"title": self.title, **self.about, "rows": [dict(row) for row in self.rows]}


def compare(
    dataset: Dataset,
    candidates: Mapping[str, TrainConfig],
    folder: Path,
    *,
    seeds: int,
    test: bool,
    settings: Settings,
) -> Comparison:
    """Train and measure every candidate with every seed, and write compare.csv, .json and .png into `folder`.

    A candidate that fails does not end the others. What an earlier call has done is not done again.

    Args:
        folder: holds `<candidate>/seed-<seed>/` with checkpoint and bundle.
        seeds: how many, counted from each configuration's own.
        test: score on the test split. To choose by that is to read the labels that the final number must not depend on.
    """
    split = "test" if test else "validation"
    rows, failures, done = [], [], 0
    for name, config in candidates.items():
        results: list[dict[str, Any]] = []
        error: Exception | None = None
        for seed in range(config.seed, config.seed + seeds):
            done += 1
            to_stderr(f"compare: {name}, seed {seed} ({done} of {len(candidates) * seeds})")
            where = folder / name / f"seed-{seed}"
            try:
                results.append(trial.run(dataset, replace(config, seed=seed), where, split=split, settings=settings))
            except Exception as exc:  # noqa: BLE001  # the table says it, the others go on, and the exit code tells
                error = exc
                to_stderr(f"compare: {name}, seed {seed} failed: {traced(exc, where)}")
                break
        if error is not None:
            failures.append(error)
        rows.append(_row(name, config, results, error, folder))
    rows.sort(key=lambda row: (row["error"] != "", -(row["accuracy"] or 0), row["candidate"]))
    made = Comparison(_title(dataset, split, seeds), about(dataset, split, settings), rows, failures)
    _write(made, folder)
    return made


def _row(
    name: str, config: TrainConfig, results: Sequence[Mapping[str, Any]], error: Exception | None, folder: Path
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"candidate": name, "architecture": " + ".join(config.members), "seeds": len(results), "error": ""}
    if error is not None:
        return row | {"error": one_line(error), "seeds": 0}

    def mean(key: str) -> float:
        return statistics.fmean(result[key] for result in results)

    n = results[0]["n"]
    low, high = metrics.wilson_interval(round(mean("accuracy") * n), n)
    row |= {key: mean(key) for key in ("accuracy", "log_loss", "bundle_mb", "train_s")}
    row |= {"accuracy_low": low, "accuracy_high": high, "n": n, "parameters": results[0]["parameters"]}
    if len(results) > 1:
        row["accuracy_sd"] = statistics.stdev(result["accuracy"] for result in results)
    for device in ("cpu", "gpu"):
        if taken := [result[f"{device}_ms"] for result in results if result[f"{device}_ms"]]:
            row[f"{device}_ms"] = statistics.median(ms["median"] for ms in taken)
            row[f"{device}_p90_ms"] = statistics.median(ms["p90"] for ms in taken)
    return row | {"bundle": str(folder / name / f"seed-{config.seed}" / "bundle")}


def _title(dataset: Dataset, split: str, seeds: int) -> str:
    kind = "TEST split" if split == "test" else "validation split, which also chose each one's best epoch"
    return f"{dataset.family} on {dataset.name}: accuracy on the {kind}{f', mean of {seeds} seeds' if seeds > 1 else ''}"


def about(dataset: Dataset, split: str, settings: Settings) -> dict[str, Any]:
    """What numbers were made of: the data, the split, the code, the machine."""
    data = {"name": dataset.name, "fingerprint": dataset.fingerprint, "digest": files.read_manifest(dataset.path).digest}
    return {
        "family": dataset.family,
        "split": split,
        "data": data,
        "code": provenance.code_fingerprint(),
        "environment": provenance.environment(settings.threads),
    }


def _write(made: Comparison, folder: Path) -> None:
    from slipway.search.picture import draw_comparison

    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(made.rows)
    files.write_bytes(folder / "compare.csv", text.getvalue().encode())
    files.write_json(folder / "compare.json", made.json(), sort_keys=False)
    files.write_bytes(folder / "compare.png", draw_comparison(made.title, made.rows))
