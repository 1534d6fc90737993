"""`slipway train`: a checkpoint from a prepared data set, by the same step as in a pipeline; here, or on several machines."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.errors import ConfigError, ConflictError

if TYPE_CHECKING:
    from slipway.settings import Settings

from slipway.cli.flags import AsJson, Recipe

Option = typer.Option


def command(
    data: Annotated[str, typer.Argument(metavar="DATASET", help="What `slipway prepare` wrote: a directory or an s3:// URI.")],
    out: Annotated[str, Option("--out", "-o", metavar="DIR|URI", help="A new folder, or s3://bucket/path.")],
    preset: Annotated[str, Option(help="As for `slipway run`.")] = "quick",
    recipe: Recipe = None,
    set_: Annotated[
        list[str] | None, Option("--set", metavar="KEY=VALUE", help="Any of `slipway options FAMILY`; repeatable.")
    ] = None,
    as_json: AsJson = False,
    trainjob: Annotated[str, Option(metavar="NAME", help="Print a Kubeflow TrainJob of this name; train nothing here.")] = "",
    nodes: Annotated[int, Option(min=1, help="With --trainjob: machines.")] = 1,
    gpus_per_node: Annotated[int, Option(min=0, help="With --trainjob: one process each; 0 takes SLIPWAY_GPU's.")] = 0,
    image: Annotated[str, Option(help="With --trainjob: slipway-train by digest; default SLIPWAY_TRAIN_IMAGE.")] = "",
    namespace: Annotated[str, Option(help="With --trainjob: where its ConfigMap slipway-run is.")] = "",
    family: Annotated[str, Option(help="With --trainjob: spares a look into the store.")] = "",
) -> None:
    """Train a model; the same call after a kill goes on from the last epoch.

    Several processes here: --set workers=N. Under torchrun each process runs this command, and the first one writes.
    """
    from slipway import settings as settings_
    from slipway.cli.pairs import pairs
    from slipway.cli.trainjob import rendered

    settings, values = settings_.load(), pairs(set_)
    if trainjob:
        job = rendered(
            trainjob, data=data, out=out, preset=preset, recipe=recipe, values=values, nodes=nodes,
            gpus_per_node=gpus_per_node, image=image, namespace=namespace, family=family, settings=settings,
        )  # fmt: skip
        print(job, end="")
        return
    if nodes > 1 or gpus_per_node or image or namespace or family:
        raise ConfigError(
            "--nodes, --gpus-per-node, --image, --namespace and --family belong to a TrainJob; give --trainjob NAME, too"
        )
    result = _trained(data, out, preset, recipe, values, settings)
    if result:
        print(json.dumps(result, ensure_ascii=False) if as_json else _line(result))


def _trained(
    data: str, out: str, preset: str, recipe: Path | None, values: dict[str, str], settings: "Settings"
) -> dict[str, Any]:
    """Train here; nothing in a process that torchrun started and that is not the first."""
    from slipway import steps
    from slipway.cli.output import placed, run_id
    from slipway.cli.prepared import fields, opened
    from slipway.store import files
    from slipway.store.uri import locate
    from slipway.tracking.runs import finish

    dataset = opened(data, settings)
    options = fields(dataset.family, dataset.name, preset=preset, recipe=recipe, values=values)
    run = settings.run_id or run_id("train", dataset.family, files.read_manifest(dataset.path).digest, options, out)
    with placed(out, holds="model.json", settings=settings) as (path, uri):
        if uri:
            store, key = locate(uri)
            if store.exists(key):
                raise ConflictError(f"-o {uri}: is there already, and artifacts never change; choose another name")
        steps.train(dataset=dataset.path, out=path, publish=uri, model_name="", run_id=run, **options)
        if settings.rank:
            return {}
        finish(run)
        model = files.read_json(path / "model.json")
        digest = files.read_manifest(path).digest
    made = {name: model[name] for name in ("family", "architecture")} | {"epochs": len(model["history"]), "best": model["best"]}
    return {"checkpoint": uri or str(path), "digest": digest, "run": run, **made}


def _line(result: dict[str, Any]) -> str:
    best = result["best"]
    return (
        f"{result['checkpoint']}: {result['architecture']}, validation accuracy {best['val_accuracy']:.4f}, "
        f"log loss {best['val_loss']:.4f} (epoch {best['epoch']} of {result['epochs']}); digest {result['digest'][:12]}"
    )
