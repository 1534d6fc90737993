"""`slipway evaluate`: a model's scores on any labelled data, by what the pipeline scores with."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.flags import AsJson, LabelColumn, Model, OfData, TextColumn, Variant

if TYPE_CHECKING:
    from slipway.bundle import Bundle
    from slipway.data.dataset import Dataset
    from slipway.settings import Settings

Option = typer.Option


def command(
    model: Model,
    data: Annotated[
        str, Option(metavar="DATASET|PATH", help="A prepared or known data set: its test split; your own folder or table: all.")
    ],
    variant: Variant = "",
    champion: Annotated[str, Option(metavar="MODEL", help="Compare with it on the items neither was trained on.")] = "",
    with_trained: Annotated[bool, Option("--with-trained", help="Count items that the model was trained on, too.")] = False,
    set_: OfData = None,
    text_column: TextColumn = "",
    label_column: LabelColumn = "",
    slice_columns: Annotated[str, Option(metavar="NAME,NAME", help="Columns of your own table whose values are slices.")] = "",
    out: Annotated[Path | None, Option("-o", "--out", metavar="DIR", help="Keep numbers and predictions there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a model from raw bytes, as it is served: every number with its 95 % interval. Nothing is registered.

    Items of its training set are told and left out.
    """
    from slipway import references
    from slipway import settings as settings_
    from slipway.cli.output import placed
    from slipway.evaluation import gate, scores

    settings = settings_.load()
    found, bundle = references.open_model(model, settings, variant=variant)
    against = references.open_model(champion, settings) if champion else None
    columns = {"text_column": text_column, "label_column": label_column, "slice_columns": slice_columns}
    with tempfile.TemporaryDirectory(prefix="slipway-evaluate-") as scratch:
        dataset, trained = _judged(bundle, data, columns, set_, Path(scratch), with_trained, settings)
        with placed(str(out or f"{scratch}/scores"), holds="metrics.json", settings=settings) as (path, _):
            scores.evaluate(bundle, dataset, path, champion=against[1] if against else None, champion_release=champion)
            scored = scores.load(path)
    comparison = gate.comparison(scored, gate.MAX_DROP)
    result = {"model": str(found), "trained_on": trained, "with_trained": with_trained, **scored.summary}
    if as_json:
        print(json.dumps({**result, "comparison": comparison, "folder": str(out or "")}, ensure_ascii=False))
        return
    _print(result)
    if against:
        print(_against(str(against[0]), comparison))
    if out:
        print(f"{out}: metrics.json, predictions.parquet, confusion_matrix.txt")


def _judged(
    bundle: "Bundle",
    data: str,
    columns: Mapping[str, str],
    set_: list[str] | None,
    scratch: Path,
    with_trained: bool,
    settings: "Settings",
) -> tuple["Dataset", int]:
    """The data set to score on, and how many of its test items the model was trained on."""
    import numpy as np

    from slipway.cli.pairs import pairs
    from slipway.cli.prepared import asked_of
    from slipway.data.held_out import open_test, without
    from slipway.data.sources import parameters_of
    from slipway.errors import DataError

    given = parameters_of(data, **columns)
    asked = asked_of(bundle.family, preset="quick", values=pairs(set_) | given, verb="evaluate")
    image_px = getattr(bundle.preprocess, "height_px", 0)
    dataset = open_test(bundle.family, asked, scratch / "data", labels=bundle.labels, image_px=image_px, settings=settings)
    trained_N = np.isin(dataset.item_hashes("test"), np.load(bundle.path / "train_items.npy"))
    count = int(trained_N.sum())
    if not count or with_trained:
        return dataset, count
    if count == len(trained_N):
        raise DataError(f"{data}: the model was trained on all {count:,} items; give others, or --with-trained to count them")
    return without(dataset, trained_N, scratch / "fresh"), count


def _print(result: Mapping[str, Any]) -> None:
    from slipway.cli.table import show
    from slipway.evaluation.summary import HEADLINES

    trained = result["trained_on"]
    what = "are counted" if result["with_trained"] else "are left out"
    told = f"; {trained:,} more that it was trained on {what}" if trained else ""
    if trained and result["with_trained"]:
        told = f", {trained:,} of which it was trained on"
    print(f"{result['model']}, {result['variant']}, on {result['data']['name']}: {result['n']:,} items{told}")
    rows = [
        (about, _number(result[name]), f"{_number(result[f'{name}_low'])} – {_number(result[f'{name}_high'])}")
        for name, about in HEADLINES.items()
    ]
    show(("", "value", "95 %"), rows, empty="")
    classes = [
        (name, row["n"], *(_number(row[key]) for key in ("precision", "recall", "f1", "roc_auc", "average_precision")))
        for name, row in zip(result["labels"], result["classes"], strict=True)
    ]
    show(("class", "n", "precision", "recall", "F1", "ROC area", "average precision"), classes, empty="")
    if result["slices"]:
        columns = ("slice", "n", "accuracy", "the rest", "worse")
        shown = [
            (s["slice"], s["n"], _number(s["accuracy"]), _number(s["rest_accuracy"]), "yes" if s["worse"] else "")
            for s in result["slices"]
        ]
        show(columns, shown, empty="")


def _against(name: str, found: Mapping[str, Any] | None) -> str:
    if found is None:
        return f"{name} cannot be compared: it has other classes, another input, or every item is in a training set"
    return (
        f"against {name}, on {found['n']:,} items new to both: accuracy {found['accuracy']:.4f}, "
        f"its {found['champion_accuracy']:.4f}; difference {found['difference']:+.4f} "
        f"({found['low']:+.4f} – {found['high']:+.4f}), p {found['p']:.3g} (McNemar, exact)"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
