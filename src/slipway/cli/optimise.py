"""`slipway optimise`: smaller and faster variants of a model, measured against it."""

import json
from typing import Annotated, Any

import typer

from slipway.cli.flags import AsJson, Model

Option = typer.Option


def command(
    model: Model,
    data: Annotated[str, Option(metavar="DATASET", help="What it was trained on: a directory or URI of `slipway prepare`.")],
    out: Annotated[str, Option("--out", "-o", metavar="DIR", help="A new folder: bundle with all variants, and the table.")],
    variants: Annotated[
        str, Option(metavar="NAMES", help="With commas between; all: those that this machine can run.")
    ] = "all",
    student: Annotated[
        list[str] | None,
        Option(metavar="NAME=MODEL", help="A further model of the same data, such as a distilled or pruned one; repeatable."),
    ] = None,
    max_drop: Annotated[
        float, Option(metavar="SHARE", help="Of accuracy on validation: layers stay in float to keep within it.")
    ] = 0.005,
    threads: Annotated[int, Option(metavar="N", help="Of the engine, when it is timed.")] = 1,
    seconds: Annotated[float, Option(metavar="S", help="Of timing, for all variants.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Make smaller and faster variants and measure them: accuracy on the same test items, time in the same rounds, size.

    INT8 of images is made by ranges seen in training items; validation chooses how, and which variants keep the budget.
    The test split is for the table alone.
    """
    from slipway import references
    from slipway import settings as settings_
    from slipway.cli.output import placed
    from slipway.cli.prepared import opened
    from slipway.cli.table import show
    from slipway.data.progress import to_stderr
    from slipway.errors import ConfigError
    from slipway.optimise.ladder import optimise, wanted

    if out.startswith("s3://"):
        raise ConfigError(f"-o {out}: must be a folder here; slipway export writes to a store")
    if threads < 1 or not seconds > 0:
        raise ConfigError(f"--threads must be >= 1 and --seconds above 0, got {threads} and {seconds:g}")
    names = wanted(variants)
    settings = settings_.load()
    found, bundle = references.open_model(model, settings)
    dataset = opened(data, settings)
    students = {}
    for name, equals, its in (text.partition("=") for text in student or []):
        if not (name and equals and its):
            raise ConfigError(f"--student: must be NAME=MODEL, got '{name}{equals}{its}'")
        students[name] = references.open_model(its, settings)[1]
    with placed(out, holds="ladder.json", settings=settings) as (path, _):
        result = optimise(
            bundle,
            dataset,
            path,
            names=names,
            students=students,
            max_drop=max_drop,
            threads=threads,
            seconds=seconds,
            say=to_stderr,
        )
    if as_json:
        print(json.dumps({"model": str(found), "folder": str(path), **result}))
        return
    flags = " ".join(result["cpu_flags"]) or "unknown"
    print(f"{found} on {result['n']:,} test items of {result['data']}; one item, {threads} thread(s), flags {flags}")
    rows = [
        (
            row["variant"],
            f"{row['accuracy']:.4f}",
            f"{100 * row['difference']:+.2f} ({100 * row['difference_low']:+.2f} – {100 * row['difference_high']:+.2f})",
            f"{row['ms']:.3g}",
            f"{row['speed_up']:.2f} ({row['speed_up_low']:.2f} – {row['speed_up_high']:.2f})",
            f"{row['mb']:.2f}",
            f"{row['size_ratio']:.2f}",
            f"{row['memory_mb']:.0f}",
            "" if row["allowed"] else "over",
            _made(row["about"]),
        )
        for row in result["rows"]
    ]
    show(
        ("variant", "accuracy", "points (95 %)", "ms", "times as fast", "MB", "of fp32", "memory", "budget", "made by"),
        rows,
        empty="",
    )
    print(f"served in this order: {', '.join(result['order'])}")
    print(f"{path}: bundle, ladder.json, ladder.csv, ladder.png")


def _made(about: dict[str, Any]) -> str:
    told = str(about.get("method", ""))
    return f"{told}, {len(about['floats'])} of {about['layers']} layers in float" if about.get("floats") else told
