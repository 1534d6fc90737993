"""`slipway bench`: what a model costs on this machine."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.flags import AsJson, Model, TextColumn, Variant

if TYPE_CHECKING:
    from slipway.bundle import Bundle
    from slipway.preprocess import Raw

Option = typer.Option


def command(
    model: Model,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE|DIR]...", help="Items to send, as for `predict`; default: those of its self-test."),
    ] = None,
    text_column: TextColumn = "",
    variant: Variant = "",
    batch: Annotated[str, Option(metavar="N,N", help="Items a call.")] = "1,8,32",
    threads: Annotated[str, Option(metavar="N,N", help="Of the engine; default: one, and one for each core.")] = "",
    seconds: Annotated[float, Option(metavar="S", help="For each size of batch.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Measure a model from raw items to probabilities: time by batch and threads, throughput, memory and size."""
    import os
    from dataclasses import asdict

    from slipway import provenance, references
    from slipway import settings as settings_
    from slipway.cli.progress import meter
    from slipway.evaluation.bench import bench

    sizes, counts = _numbers("--batch", batch), _numbers("--threads", threads or f"1,{os.cpu_count() or 1}")
    found, bundle = references.open_model(model, settings_.load(), variant=variant)
    items = _items(bundle, paths or [], text_column)
    processes = []
    with meter(f"bench {found}", len(counts)) as progress:
        for process in bench(
            bundle.path,
            variant=bundle.variant,
            items=items,
            batches=sizes,
            threads=counts,
            seconds=seconds,
            progress=progress.say,
        ):
            processes.append(process)
            progress.step()
    size_mb = bundle.size_bytes / 1e6
    flags = provenance.cpu_flags()
    about = {"model": str(found), "variant": bundle.variant, "size_mb": size_mb, "cpu_flags": flags}
    if as_json:
        print(json.dumps({**about, "processes": [asdict(process) for process in processes]}))
        return
    from slipway.cli.table import show

    print(f"{found}, {bundle.variant}, {size_mb:.2f} MB; flags {' '.join(flags) or 'unknown'}")
    rows = []
    for t in (t for process in processes for t in process.timings):
        milliseconds = (f"{ms:.3g}" for ms in (t.median_ms, t.p95_ms, t.p99_ms, t.engine_ms))
        rows.append((t.threads, t.batch, t.calls, *milliseconds, f"{t.items_per_s:,.0f}"))
    show(("threads", "batch", "calls", "median ms", "p95", "p99", "graph alone", "items/s"), rows, empty="")
    for process in processes:
        print(f"{process.threads} threads: loaded in {process.load_s:.2f} s, at most {process.memory_mb:.0f} MB")


def _numbers(flag: str, text: str) -> list[int]:
    """Whole numbers, each once. Raises: ConfigError."""
    from slipway.errors import ConfigError

    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as exc:
        raise ConfigError(f"{flag}: must be whole numbers with commas between, got '{text}'") from exc


def _items(bundle: "Bundle", paths: list[str], text_column: str) -> "list[Raw]":
    """What the paths hold, at most as many as are sent. Raises: DataError: one cannot be read, by its name."""
    from itertools import islice

    from slipway.errors import DataError
    from slipway.evaluation.bench import MAX_ITEMS
    from slipway.predictions import inputs
    from slipway.predictions.answers import read

    found: list[Raw] = []
    asked = inputs.find(bundle.preprocess.input_name, paths, text_column=text_column).items if paths else ()
    for item in islice(asked, MAX_ITEMS):
        try:
            found.append(read(item))
            bundle.preprocess.encode(found[-1:])
        except DataError as exc:
            raise DataError(f"{item.source}: {str(exc).removeprefix('item 0: ').removeprefix(f'{item.source}: ')}") from exc
    return found
