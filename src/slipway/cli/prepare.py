"""`slipway prepare`: a data set as training reads it, by the same step as in a pipeline."""

import json
from typing import Annotated

import typer

from slipway.cli.flags import AsJson, LabelColumn, OfData, TextColumn

Option = typer.Option


def command(
    source: Annotated[
        str, typer.Argument(metavar="DATASET|PATH", help="A known data set, or your own: folder of class folders, or a table.")
    ],
    out: Annotated[str, Option("--out", "-o", metavar="DIR|URI", help="A new folder, or s3://bucket/path.")],
    family: Annotated[str, Option(help="cv, defect or nlp; a known data set has one of its own.")] = "",
    preset: Annotated[str, Option(help="Whose image size and data settings, as for `slipway run`.")] = "quick",
    set_: OfData = None,
    text_column: TextColumn = "",
    label_column: LabelColumn = "",
    as_json: AsJson = False,
) -> None:
    """Read, split, check (--set checks.NAME=refuse) and write a data set, for `slipway train` and `slipway compare`."""
    from slipway import settings as settings_
    from slipway import steps
    from slipway.cli.output import placed, run_id
    from slipway.cli.pairs import pairs
    from slipway.cli.prepared import asked_of
    from slipway.data.dataset import META
    from slipway.data.sources import family_of, parameters_of
    from slipway.runs.parameters import CHECKS, resolve
    from slipway.runs.step import scratch
    from slipway.store.uri import locate

    settings = settings_.load()
    given = parameters_of(source, text_column=text_column, label_column=label_column)
    family = family or family_of(source)
    chosen = pairs(set_) | given
    levels = {name: value for name, value in chosen.items() if name.startswith(f"{CHECKS}.")}
    about_data = {name: value for name, value in chosen.items() if name not in levels}
    asked = asked_of(family, preset=preset, values=about_data, verb="prepare")
    checks = resolve(family, preset=preset, values=chosen)[CHECKS]
    run = run_id("prepare", family, asked, out)
    with placed(out, holds=META, settings=settings) as (path, uri), scratch(settings) as folder:
        checked = folder / "checked"  # goes to the store
        made = steps.prepare_data(family=family, out=path, checked=checked, checks=checks, run_id=run, **asked)
        if uri:
            store, key = locate(uri)
            store.put_dir(path, key)
    result = {"dataset": uri or str(path), "family": family, "run": run, **made}
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    counts = ", ".join(f"{result[split]} {split}" for split in ("train", "validation", "test"))
    print(f"{result['dataset']}: {result['name']} for {family}; {counts}; digest {result['digest'][:12]}")
