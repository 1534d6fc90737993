"""`slipway export`: the closed bundle of a checkpoint, by the same step as in a pipeline."""

import json
from typing import Annotated

import typer

from slipway.cli.flags import AsJson

Option = typer.Option


def command(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="What `slipway train` wrote: a directory or URI.")],
    data: Annotated[str, Option(metavar="DATASET", help="What it was trained on: a directory or URI of `slipway prepare`.")],
    out: Annotated[str, Option("--out", "-o", metavar="DIR|URI", help="A new folder, or s3://bucket/path.")],
    as_json: AsJson = False,
) -> None:
    """Export a checkpoint: graph, preprocessing, temperature, self-test. It fails where the bundle answers otherwise."""
    from slipway import settings as settings_
    from slipway import steps
    from slipway.cli.output import placed, run_id
    from slipway.cli.prepared import opened
    from slipway.errors import NotFoundError
    from slipway.store import files
    from slipway.store.uri import fetch, locate

    settings = settings_.load()
    trained = fetch(checkpoint, settings.home / "cache")
    if not (trained / "model.json").is_file():
        raise NotFoundError(f"{checkpoint}: has no model.json, so it is no checkpoint; slipway train DATASET -o DIR makes one")
    dataset = opened(data, settings)
    digests = [files.read_manifest(path).digest for path in (trained, dataset.path)]
    run = run_id("export", dataset.family, *digests, out)
    with placed(out, holds="bundle.json", settings=settings) as (path, uri):
        made = steps.export_onnx(checkpoint=trained, dataset=dataset.path, out=path, run_id=run)
        if uri:
            store, key = locate(uri)
            store.put_dir(path, key)
    result = {"bundle": uri or str(path), "run": run, **made}
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
        return
    print(f"{result['bundle']}: temperature {result['temperature']:.3f}; digest {result['digest'][:12]}")
