"""`slipway run`: one or more families from raw data to a served model."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from slipway.cli.exits import worst
from slipway.cli.flags import AsJson, LabelColumn, Recipe, TextColumn
from slipway.cli.pairs import pairs
from slipway.errors import ConfigError, DataError, GateRefusedError, SlipwayError, unknown

Option = typer.Option
RUNNERS = {"local": "slipway.runs.local", "kfp": "slipway.runs.cluster"}


def command(
    families: Annotated[list[str], typer.Argument(metavar="FAMILY...", help="cv, defect, nlp; several run one after another.")],
    dataset: Annotated[str, Option(help="A known data set; an unknown name lists them.")] = "",
    data: Annotated[str, Option(help="Your own: folder of class folders, labels.csv, or a table of texts.")] = "",
    preset: Annotated[
        str, Option(help="quick: minutes, embedded data. full: real data, a larger model. An unknown name lists all.")
    ] = "quick",
    recipe: Recipe = None,
    set_: Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="Any pipeline parameter; repeatable.")] = None,
    name: Annotated[str, Option(help="Model name in the registry; default FAMILY-DATASET.")] = "",
    text_column: TextColumn = "",
    label_column: LabelColumn = "",
    on: Annotated[str, Option(help="local: KFP's runner on this machine. kfp: the cluster at SLIPWAY_KFP_HOST.")] = "local",
    as_json: AsJson = False,
) -> None:
    """Prepare, train, export, evaluate, gate, register and serve a model; ends with a table of what came out."""
    values = {"dataset": dataset, "data": data, "model_name": name, "text_column": text_column, "label_column": label_column}
    chosen = pairs(set_) | {key: value for key, value in values.items() if value}
    if dataset and data:
        raise ConfigError("--dataset and --data: give one of them, not both")
    if len(families) > 1 and (dataset or data or name):
        got = ", ".join(families)
        raise ConfigError(f"--dataset, --data and --name belong to one family, got {got}; name one (make: FAMILY=cv)")
    outcomes: list[dict[str, Any]] = []
    failures: list[SlipwayError] = []
    for family in families:
        try:
            outcomes.append(_one(family, preset, recipe, chosen, on))
        except SlipwayError as exc:
            if len(families) == 1:
                raise
            failures.append(exc)
            print(f"error: {family}: {exc}", file=sys.stderr)
    if as_json:
        print(json.dumps(outcomes[0] if len(families) == 1 else {"runs": outcomes}, ensure_ascii=False))
    elif outcomes:
        _table(outcomes)
    failures += [GateRefusedError(o["model"]) for o in outcomes if o["verdict"] == "fail"]
    if failures:
        raise typer.Exit(worst(failures))


def _one(family: str, preset: str, recipe: Path | None, chosen: dict[str, str], on: str) -> dict[str, Any]:
    """Run one family and read its outcome, refused or not, from the run record."""
    from slipway import settings as settings_
    from slipway.runs import outcome
    from slipway.runs.parameters import resolve

    if on not in RUNNERS:
        raise ConfigError(unknown("--on", on, RUNNERS))
    settings = settings_.load()
    parameters = resolve(family, preset=preset, values=chosen, recipe=recipe)
    _check_source(family, str(parameters["data"]), str(parameters["dataset"]))
    runner = import_module(RUNNERS[on])
    run_id = runner.new_run_id(family)
    try:
        run_id = runner.run(family, parameters, run_id=run_id, settings=settings)
    except GateRefusedError as refusal:
        run_id = refusal.run_id or run_id
    return outcome.read(run_id, settings)


def _check_source(family: str, data: str, dataset: str) -> None:
    """What can be said of the data before a run starts."""
    if not data:
        from slipway.data.datasets import entry_for

        entry_for(dataset, family)
    elif "://" not in data and not Path(data).expanduser().exists():
        raise DataError(f"--data {data}: there is no such file or folder")


def _table(outcomes: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Slipway", show_lines=True)
    for column in ("model", "data set", "accuracy (95 %)", "verdict", "version", "v2 answer"):
        table.add_column(column, overflow="fold")
    for o in outcomes:
        m = o["metrics"]
        accuracy = f"{m['accuracy']:.3f} ({m['accuracy_low']:.3f}–{m['accuracy_high']:.3f})\nn {m['n']}"
        version = f"{o['version']}\n{o['digest'][:12]}" if o["version"] else "–"
        why = "\n".join(o["reasons"])
        table.add_row(o["model"], o["dataset"], accuracy, f"{o['verdict']}\n{why}", version, o["answer"] or "–")
    Console(width=None if sys.stdout.isatty() else 140).print(table)
