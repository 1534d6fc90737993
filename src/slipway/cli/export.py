"""`slipway export`: the closed bundle of a checkpoint, by the same step as in a pipeline; or a bundle for phones and boards."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.flags import AsJson

if TYPE_CHECKING:
    from slipway.settings import Settings

Option = typer.Option
HOLDS = {"onnx": "bundle.json", "tflite": "tflite.json"}
"""What can be made -> a file that every such directory has."""


def command(
    source: Annotated[
        str,
        typer.Argument(metavar="CHECKPOINT|MODEL", help="What `slipway train` wrote; for tflite a bundle or a model's name."),
    ],
    data: Annotated[str, Option(metavar="DATASET", help="What it was trained on: a directory or URI of `slipway prepare`.")],
    out: Annotated[str, Option("--out", "-o", metavar="DIR|URI", help="A new folder, or s3://bucket/path.")],
    to: Annotated[
        str,
        Option("--format", metavar="onnx|tflite", help="A bundle, or TensorFlow Lite of an image bundle, in float and int8."),
    ] = "onnx",
    as_json: AsJson = False,
) -> None:
    """Export a checkpoint: graph, preprocessing, temperature, self-test. It fails where the bundle answers otherwise.

    tflite: the first time, its converter is set up below SLIPWAY_HOME: 37 packages, 1.7 GB.
    """
    from slipway import settings as settings_
    from slipway.cli.output import placed
    from slipway.errors import ConfigError, unknown
    from slipway.store.uri import locate

    if to not in HOLDS:
        raise ConfigError(unknown("--format", to, HOLDS))
    settings = settings_.load()
    make = _bundle if to == "onnx" else _tflite
    with placed(out, holds=HOLDS[to], settings=settings) as (path, uri):
        result, lines = make(source, data, path, out, settings)
        if uri:
            store, key = locate(uri)
            store.put_dir(path, key)
    where = uri or str(path)
    if as_json:
        print(json.dumps({"bundle" if to == "onnx" else "folder": where, **result}, ensure_ascii=False))
        return
    print(f"{where}: {lines[0]}", *lines[1:], sep="\n")


def _bundle(source: str, data: str, path: Path, out: str, settings: "Settings") -> tuple[dict[str, Any], list[str]]:
    from slipway import steps
    from slipway.cli.output import run_id
    from slipway.cli.prepared import opened
    from slipway.errors import NotFoundError
    from slipway.store import files
    from slipway.store.uri import fetch

    trained = fetch(source, settings.home / "cache")
    if not (trained / "model.json").is_file():
        raise NotFoundError(f"{source}: has no model.json, so it is no checkpoint; slipway train DATASET -o DIR makes one")
    dataset = opened(data, settings)
    digests = [files.read_manifest(place).digest for place in (trained, dataset.path)]
    run = run_id("export", dataset.family, *digests, out)
    made = steps.export_onnx(checkpoint=trained, dataset=dataset.path, out=path, run_id=run)
    return {"run": run, **made}, [f"temperature {made['temperature']:.3f}; digest {made['digest'][:12]}"]


def _tflite(source: str, data: str, path: Path, _: str, settings: "Settings") -> tuple[dict[str, Any], list[str]]:
    from slipway import references
    from slipway.bundle import BASE
    from slipway.cli.prepared import opened
    from slipway.data.progress import to_stderr
    from slipway.export import tflite

    found, bundle = references.open_model(source, settings, variant=BASE)
    dataset = opened(data, settings)
    result = tflite.export(bundle, dataset, path, home=settings.home, say=to_stderr)
    lines = [f"{found}, compared with the bundle on {result['n']} held-out items of {result['data']}"]
    for precision in ("float", "int8"):
        told = result[precision]
        lines.append(
            f"model-{precision}.tflite: {told['bytes'] / 1e6:.2f} MB; same class for {told['top1_agreement']:.1%}; "
            f"probabilities differ by {told['mean_difference']:.2g}, at most {told['max_difference']:.2g} ({told['worst']})"
        )
    return {"model": str(found), **result}, lines
