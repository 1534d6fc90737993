"""`slipway compare`: architectures and recipes on one data set, side by side."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from slipway.cli.exits import worst
from slipway.cli.flags import AsJson, LabelColumn, Source, TextColumn
from slipway.cli.pairs import pairs

Option = typer.Option


def command(
    source: Source,
    architectures: Annotated[str, Option(metavar="NAME,NAME", help="Candidates; an unknown name lists them.")] = "",
    recipe: Annotated[
        list[Path] | None, Option(metavar="FILE.yaml", help="A candidate: options of training, a line each; repeatable.")
    ] = None,
    family: Annotated[str, Option(help="cv, defect or nlp, where neither data nor architectures tell.")] = "",
    seeds: Annotated[int, Option(min=1, help="Trainings of each candidate; the table has their mean and spread.")] = 1,
    preset: Annotated[str, Option(help="What candidates share, below their recipes; as for `run`.")] = "quick",
    set_: Annotated[
        list[str] | None, Option("--set", metavar="KEY=VALUE", help="Of data or training, for all; repeatable.")
    ] = None,
    text_column: TextColumn = "",
    label_column: LabelColumn = "",
    test: Annotated[bool, Option("--test", help="Score on the test split instead of validation: once, for a report.")] = False,
    out: Annotated[Path | None, Option("-o", "--out", metavar="DIR", help="Default compare-DATASET, here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train, export and time every candidate on the same data; ends with a table, a CSV file and a picture.

    The same call goes on after an interruption, and does nothing twice. Nothing is registered.
    """
    from slipway import settings as settings_
    from slipway.data import sources
    from slipway.search import candidates, compare, data, folder

    settings = settings_.load()
    given = sources.parameters_of(source, text_column=text_column, label_column=label_column)
    names = [name.strip() for name in architectures.split(",") if name.strip()]
    family = family or candidates.family_of(names) or sources.family_of(source)
    values = pairs(set_) | given
    asked = candidates.asked(family, preset=preset, values=values, verb="compare")
    common = candidates.base(family, asked, settings)
    found = candidates.candidates(common, explicit=values, names=names, recipes=recipe or [])
    with folder.claimed(out or folder.default("compare", source)) as here:
        dataset = data.prepared(family, asked, here / "data", settings)
        made = compare.compare(dataset, found, here, seeds=seeds, test=test, settings=settings)
    if as_json:
        print(json.dumps({**made.json(), "folder": str(here)}, ensure_ascii=False))
    else:
        print(made.title)
        _table(made.rows)
        print(f"{here}: compare.csv, compare.json, compare.png")
    raise typer.Exit(worst(made.failures))


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    from slipway.cli.table import show

    columns = ["candidate", "accuracy (95 %)", "parameters", "MB", "training s", "CPU ms (p90)", "GPU ms (p90)"]
    shown = len(columns) if any(row["gpu_ms"] for row in rows) else len(columns) - 1
    show(columns[:shown], (_cells(row)[:shown] for row in rows), empty="")
    for row in rows:
        if row["error"]:
            print(f"{row['candidate']} failed: {row['error']}")


def _cells(row: Mapping[str, Any]) -> list[str]:
    if row["error"]:
        return [row["candidate"], "failed", *["–"] * 5]
    spread = "" if row["accuracy_sd"] is None else f" ± {row['accuracy_sd']:.4f}"
    return [
        row["candidate"],
        f"{row['accuracy']:.4f}{spread} ({row['accuracy_low']:.4f}–{row['accuracy_high']:.4f})",
        f"{row['parameters']:,}",
        f"{row['bundle_mb']:.2f}",
        f"{row['train_s']:.1f}",
        _ms(row, "cpu"),
        _ms(row, "gpu"),
    ]


def _ms(row: Mapping[str, Any], device: str) -> str:
    taken = row[f"{device}_ms"]
    return "–" if taken is None else f"{taken:.2f} ({row[f'{device}_p90_ms']:.2f})"
