"""`slipway schedule`: a family's pipeline again and again on Kubeflow Pipelines: retraining."""

import json
from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.flags import AsJson, LabelColumn, Recipe, TextColumn
from slipway.errors import ConfigError

Option = typer.Option


def command(
    family: Annotated[str, typer.Argument(metavar="[FAMILY]", help="cv, defect, nlp; without it, schedules are listed.")] = "",
    cron: Annotated[
        str, Option(metavar="'M H D M W'", help="Minute, hour, day, month, weekday, such as '0 3 * * *': each night at three.")
    ] = "",
    dataset: Annotated[str, Option(help="A known data set.")] = "",
    data: Annotated[str, Option(metavar="URI", help="Your own, read anew by each run: s3://bucket/parts.")] = "",
    preset: Annotated[str, Option(help="As for `slipway run`.")] = "quick",
    recipe: Recipe = None,
    set_: Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="As for `slipway run`; repeatable.")] = None,
    name: Annotated[str, Option(help="Model name in the registry; the schedule is named for it. Default FAMILY-DATASET.")] = "",
    text_column: TextColumn = "",
    label_column: LabelColumn = "",
    remove: Annotated[str, Option(metavar="NAME", help="End this schedule; a run of it that is under way goes on.")] = "",
    as_json: AsJson = False,
) -> None:
    """Schedule a pipeline, list the schedules, or remove one. A schedule of the same name is replaced."""
    from slipway import settings as settings_
    from slipway.cli.pairs import pairs
    from slipway.cli.table import show
    from slipway.runs import schedule
    from slipway.runs.parameters import resolve

    settings = settings_.load()
    if family and (remove or not cron):
        raise ConfigError("--remove takes no FAMILY" if remove else "--cron: say when, such as --cron '0 3 * * *'")
    if not family and (cron or dataset or data or set_ or name):
        raise ConfigError("FAMILY: name what is to be scheduled, such as slipway schedule cv --cron '0 3 * * *'")
    if remove:
        going = schedule.remove(remove, settings)
        line = f"{remove}: ended; call it again once {', '.join(going)} has ended" if going else f"{remove}: removed"
        print(json.dumps({"removed": remove, "going": going}) if as_json else line)
        return
    if family:
        values = {
            "dataset": dataset,
            "data": data,
            "model_name": name,
            "text_column": text_column,
            "label_column": label_column,
        }
        chosen = pairs(set_) | {key: value for key, value in values.items() if value}
        parameters = resolve(family, preset=preset, values=chosen, recipe=recipe)
        called = str(parameters["model_name"]) or f"{family}-{_source(parameters)}"
        found = [schedule.add(family, called, cron, parameters, settings=settings)]
    else:
        found = schedule.listing(settings)
    if as_json:
        rows = [{"name": s.name, "family": s.family, "cron": s.cron, "enabled": s.enabled} for s in found]
        print(json.dumps(rows[0] if family else {"schedules": rows}, ensure_ascii=False))
        return
    lines = [(s.name, s.family, s.cron, "yes" if s.enabled else "no") for s in found]
    empty = "No schedule yet. Make one: slipway schedule cv --cron '0 3 * * *'"
    show(("schedule", "family", "cron", "enabled"), lines, empty=empty)


def _source(parameters: dict[str, object]) -> str:
    from slipway.data.raw import slug

    return slug(Path(str(parameters["data"])).stem) if parameters["data"] else str(parameters["dataset"]).replace("_", "-")
