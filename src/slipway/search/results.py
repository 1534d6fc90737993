"""What a study leaves beside its database: tune.csv, .json and .png, and the best settings as a recipe and a command."""

import csv
import io
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slipway.config import to_text
from slipway.data.dataset import Dataset
from slipway.search.compare import about
from slipway.search.space import Axis
from slipway.search.tune import METRICS, Tuned
from slipway.settings import Settings
from slipway.store import files

COLUMNS = ("trial", "state", "value", "epochs", "best_epoch", "seconds")
"""Of tune.csv, before one for each axis and `error`."""
RECIPE = "best.yaml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the caller of a study said."""

    source: Mapping[str, str]
    """Parameters that name the data; empty for a prepared directory, which a pipeline does not start from."""
    preset: str
    held: Mapping[str, str]
    """Texts of `--set`."""
    training: Mapping[str, Any]
    """Options of training, as preset and caller set them: what the study does not vary."""
    metric: str


def write(
    tuned: Tuned, dataset: Dataset, space: Mapping[str, Axis], asked: Asked, folder: Path, settings: Settings
) -> dict[str, Any]:
    """Write all of it into `folder`; without a completed trial, neither recipe nor command.

    Returns: what is in tune.json.
    """
    from slipway.search.picture import draw_study

    best = tuned.best
    title = f"{dataset.family} on {dataset.name}: {asked.metric} on the validation split, {len(tuned.trials)} trials"
    if best is not None:
        files.write_bytes(folder / RECIPE, _recipe(title, best, asked).encode())
    made = {
        "title": title,
        **about(dataset, "validation", settings),
        "metric": asked.metric,
        "space": {name: axis.about() for name, axis in space.items()},
        "best": best,
        "recipe": str(folder / RECIPE) if best else None,
        "checkpoint": str(tuned.checkpoint) if tuned.checkpoint else None,
        "command": command(dataset.family, asked, best["params"]) if best and asked.source else None,
        "trials": tuned.trials,
    }
    files.write_json(folder / "tune.json", made, sort_keys=False)
    files.write_bytes(folder / "tune.csv", _table(tuned, space).encode())
    logs = {name: axis.log for name, axis in space.items()}
    maximise = METRICS[asked.metric][1] == "maximize"
    files.write_bytes(folder / "tune.png", draw_study(title, asked.metric, tuned.trials, logs, maximise=maximise))
    return made


def command(family: str, asked: Asked, params: Mapping[str, Any]) -> str:
    """The line that runs the whole pipeline with these settings."""
    flags = [part for name, value in asked.source.items() for part in (f"--{name.replace('_', '-')}", value)]
    sets = dict(asked.held) | {name: to_text(value) for name, value in params.items()}
    set_flags = [part for name, text in sets.items() for part in ("--set", f"{name}={text}")]
    return shlex.join(["slipway", "run", family, *flags, "--preset", asked.preset, *set_flags])


def _recipe(title: str, best: Mapping[str, Any], asked: Asked) -> str:
    """The best trial's options: those that were found, then those that preset and caller had set."""
    held = {name: value for name, value in asked.training.items() if name not in best["params"]}
    found, rest = (yaml.safe_dump(part, sort_keys=False) if part else "" for part in (dict(best["params"]), held))
    return f"# {title}\n# found: trial {best['number']}, {asked.metric} {best['value']:.4f}\n{found}# not varied\n{rest}"


def _table(tuned: Tuned, space: Mapping[str, Axis]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *space, "error"])
    for t in tuned.trials:
        own = (t[name] for name in ("number", *COLUMNS[1:]))
        writer.writerow([*own, *(t["params"].get(name) for name in space), t["error"]])
    return text.getvalue()
