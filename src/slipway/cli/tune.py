"""`slipway tune`: search for the options of training that do best on validation."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from slipway.cli.flags import AsJson, LabelColumn, Source, TextColumn
from slipway.cli.pairs import pairs

Option = typer.Option


def command(
    source: Source,
    space: Annotated[
        list[str] | None,
        Option(metavar="KEY=LOW..HIGH[,log]|KEY=A,B", help="An option to vary (`slipway options` lists them); repeatable."),
    ] = None,
    trials: Annotated[int, Option(min=1, help="Trainings in all, those of earlier calls among them.")] = 20,
    timeout: Annotated[float | None, Option(min=0, metavar="SECONDS", help="Start no further trial after so long.")] = None,
    metric: Annotated[str, Option(help="accuracy or log_loss, of validation.")] = "accuracy",
    family: Annotated[str, Option(help="cv, defect or nlp, where the data do not tell.")] = "",
    preset: Annotated[str, Option(help="Where what is not varied stands; as for `run`.")] = "quick",
    set_: Annotated[
        list[str] | None, Option("--set", metavar="KEY=VALUE", help="Of data or training, for all trials; repeatable.")
    ] = None,
    text_column: TextColumn = "",
    label_column: LabelColumn = "",
    out: Annotated[Path | None, Option("-o", "--out", metavar="DIR", help="Default tune-DATASET, here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run an Optuna study over options of training; hopeless trials are cut short, the best is a recipe and a command.

    The same call goes on after an interruption, however it came, in the trial and epoch where it was.
    """
    from slipway import settings as settings_
    from slipway.data import sources
    from slipway.runs import parameters
    from slipway.search import candidates, data, folder, results, tune
    from slipway.search import space as spaces

    settings = settings_.load()
    metric = tune.checked_metric(metric)
    given = sources.parameters_of(source, text_column=text_column, label_column=label_column)
    family = family or sources.family_of(source)
    held = pairs(set_)
    asked = candidates.asked(family, preset=preset, values=held | given, verb="tune")
    axes = spaces.parse(space or [], family, held=held)
    common = candidates.base(family, asked, settings)
    with folder.claimed(out or folder.default("tune", source)) as here:
        dataset = data.prepared(family, asked, here / "data", settings)
        tuned = tune.tune(dataset, common, axes, here, trials=trials, metric=metric, settings=settings, timeout_s=timeout)
        said = results.Asked(
            source={} if sources.is_prepared(Path(source)) else given,
            preset=preset,
            held=held,
            training=parameters.training(family, asked),
            metric=metric,
        )
        made = results.write(tuned, dataset, axes, said, here, settings)
    if as_json:
        print(json.dumps({**made, "folder": str(here)}, ensure_ascii=False))
    else:
        _print(made, here)
    if tuned.best is None and tuned.trials:
        print(f"error: tune: no trial was completed; {here}/tune.csv says why of each", file=sys.stderr)
    raise typer.Exit(1 if tuned.ours else 2 if tuned.best is None and tuned.trials else 0)


def _print(made: Mapping[str, Any], here: Path) -> None:
    from slipway.cli.table import show

    print(made["title"])
    columns = ["trial", "state", made["metric"], "epochs", "seconds", *made["space"]]
    rows = [
        [
            f"{t['number']}{' *' * (t is made['best'])}",
            t["state"],
            "–" if t["value"] is None else f"{t['value']:.4f}",
            t["epochs"],
            f"{t['seconds']:.1f}",
            *(_plain(t["params"].get(name)) for name in made["space"]),
        ]
        for t in made["trials"]
    ]
    show(columns, rows, empty="No trial has ended yet; give more time: the same call goes on.")
    for t in made["trials"]:
        if t["error"]:
            print(f"trial {t['number']} failed: {t['error']}")
    print(f"{here}: tune.csv, tune.json, tune.png, study.db")
    if made["best"]:
        print(f"the best settings, as a recipe: {made['recipe']}")
    if made["command"]:
        print(f"the whole pipeline with them:\n{made['command']}")


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)
