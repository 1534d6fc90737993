"""`slipway explore`: what is in a data set, as a table and a picture."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from slipway.cli.flags import AsJson, LabelColumn, OfData, Source, TextColumn

Option = typer.Option


def command(
    source: Source,
    family: Annotated[str, Option(help="cv, defect or nlp, where the data do not tell.")] = "",
    set_: OfData = None,
    text_column: TextColumn = "",
    label_column: LabelColumn = "",
    out: Annotated[Path | None, Option("-o", "--out", metavar="FILE.png", help="Default explore-NAME.png, here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a known, prepared or own data set: items by class and split, what they are like, and samples of them."""
    from slipway import settings as settings_
    from slipway.cli.output import written
    from slipway.cli.pairs import pairs
    from slipway.cli.prepared import asked_of, opened
    from slipway.data import explore, explore_picture, sources
    from slipway.search import data
    from slipway.store import files

    settings = settings_.load()
    with tempfile.TemporaryDirectory(prefix="slipway-explore-") as scratch:
        if source.startswith("s3://"):
            dataset = opened(source, settings)
        else:
            given = sources.parameters_of(source, text_column=text_column, label_column=label_column)
            family = family or sources.family_of(source)
            asked = asked_of(family, preset="quick", values=pairs(set_) | given, verb="explore")
            dataset = data.prepared(family, asked, Path(scratch), settings)
        found = explore.describe(dataset)
        target = out or Path(f"explore-{dataset.name}.png")
        with written(target):
            files.write_bytes(target, explore_picture.draw(dataset))
    if as_json:
        print(json.dumps({**found, "picture": str(target)}, ensure_ascii=False))
    else:
        _print(found)
        print(target)


def _print(found: Mapping[str, Any]) -> None:
    from slipway.cli.table import show

    counts = found["counts"]
    print(f"{found['name']}, for {found['family']}: {found['description'] or 'your own'}")
    rows = [
        (name, *(f"{counts[split][name]:,}" for split in counts), f"{total:,}", f"{total / found['items']:.1%}")
        for name, total in ((name, sum(counts[split][name] for split in counts)) for name in counts["train"])
    ]
    sums = [sum(per_label.values()) for per_label in counts.values()]
    show(("class", *counts, "all", "share"), [*rows, ("all", *(f"{n:,}" for n in sums), f"{found['items']:,}", "")], empty="")
    show(("", "value"), _facts(found), empty="")


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if found["imbalance"] is not None:
        yield "largest class by smallest", f"{found['imbalance']:.2f}"
    yield "copies of another item", f"{found['duplicates']:,}"
    yield "test items that are in train, too", f"{found['test_items_also_in_train']:,}"
    if found["kind"] == "image":
        for side in ("width_px", "height_px"):
            if side in found:
                yield f"{side.removesuffix('_px')} (px)", _quantiles(found[side])
        height, width, channels = found["input"]
        yield "model input", f"{width} x {height} px, {channels} channel{'s' if channels > 1 else ''}"
        mean, sd = (" ".join(f"{v:.1f}" for v in found[name]) for name in ("mean", "sd"))
        yield f"pixels (0 to 255), of {found['pixels_of']:,}", f"mean {mean}, standard deviation {sd}"
    else:
        yield "characters", _quantiles(found["characters"])
        yield "words", _quantiles(found["words"])
    yield "left out as unreadable", f"{len(found['skipped']):,}"
    for item in found["skipped"]:
        yield item["source"], item["reason"]


def _quantiles(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in values.items())
