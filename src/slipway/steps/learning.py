"""The steps that make the model: training, and the export to what is served."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from slipway import bundle as bundles
from slipway import settings as settings_
from slipway.data.progress import to_stderr
from slipway.errors import ConfigError
from slipway.runs.step import recorded, scratch, tracked
from slipway.steps import names
from slipway.store import files
from slipway.store.uri import open_store


def train(
    *,
    dataset: Path,
    out: Path,
    model_name: str,
    run_id: str,
    options: Mapping[str, Any] | None = None,
    publish: str = "",
    keep_state: bool = False,
    **fields: Any,
) -> dict[str, float]:
    """Train a model on a prepared data set and write its checkpoint; continues where a killed run stopped.

    Of the processes that torchrun starts, the first writes and keeps the record; the others only help.

    Args:
        publish: s3:// URI where the checkpoint goes as well; empty means nowhere.
        keep_state: leave what a killed training goes on from; `export_onnx` removes it once it has the checkpoint.
        fields: of `training.recipe.TrainConfig`, without `family`, which the data set knows.
        options: further fields, as KFP hands them on: whole numbers may have become floats.
    Returns: the best epoch's metrics; nothing where another process writes.
    Raises: ConfigError: a field is unknown, out of range, or given in both.
    """
    from slipway.data.dataset import Dataset
    from slipway.tracking.epochs import EpochLog
    from slipway.training import options as training_options
    from slipway.training.train import train as train_

    settings = settings_.load()
    prepared = Dataset.load(dataset)
    further = dict(sorted((options or {}).items()))
    if twice := fields.keys() & further.keys():
        raise ConfigError(f"options: {', '.join(sorted(twice))} has a parameter of its own; set it there")
    asked = fields | further
    config = training_options.config(prepared.family, {"threads": settings.threads} | asked, where="options")
    run_training = partial(
        train_, prepared, config, out, store=open_store(settings.store), cache=settings.home / "cache", publish=publish,
        keep_state=keep_state,
    )  # fmt: skip
    if settings.rank:
        run_training()
        return {}
    inputs = {"dataset": files.read_manifest(dataset).digest}
    with recorded("train", run_id, inputs, asked) as record:
        name = model_name or names.default(prepared.family, prepared.name)
        with tracked(run_id, name) as run:
            run.log_params({**asked, "data": prepared.name, "data_fingerprint": prepared.fingerprint})
            with EpochLog(run) as log:
                run_training(on_epoch=log)
            run.log_files(out / "training_history.png")
            trained = files.read_json(out / "model.json")
            if pruned := trained.get("pruned", {}):
                run.log_metrics(pruned)
        record.outputs["checkpoint"] = files.read_manifest(out).digest
        if "start" in trained:
            record.results["start"] = trained["start"]
        record.metrics.update(trained["best"] | pruned)
        return dict(record.metrics)


def export_onnx(
    *, checkpoint: Path, dataset: Path, out: Path, run_id: str, variants: str = "", max_variant_drop: float = 0.005
) -> dict[str, Any]:
    """Export a checkpoint to a closed bundle: graph, temperature, self-test; fails when parity does not hold.

    Args:
        variants: further ones, see `optimise.ladder.wanted`; empty: fp32 by onnxruntime alone.
        max_variant_drop: budget of a variant, largest fall of accuracy on validation, a share in (0, 1).
    Returns: digest, parity and calibration, as flat values.
    Raises:
        ConfigError: an unknown variant, or a budget out of range.
        ParityError: the exported graph does not answer as the trained model does.
    """
    from slipway.data.dataset import Dataset
    from slipway.export.onnx import export
    from slipway.optimise.ladder import add_variants, wanted
    from slipway.training.checkpoint import forget

    inputs = {"checkpoint": files.read_manifest(checkpoint).digest, "dataset": files.read_manifest(dataset).digest}
    further, settings = wanted(variants), settings_.load()
    with recorded("export_onnx", run_id, inputs, {"variants": ",".join(further)}) as record, scratch(settings) as folder:
        forget(checkpoint, inputs["dataset"], open_store(settings.store))  # it has come through
        prepared, first = Dataset.load(dataset), folder / "bundle" if further else out
        export(checkpoint, prepared, first)
        if further:
            add_variants(
                bundles.load(first), prepared, out, names=further, max_drop=max_variant_drop, threads=settings.threads,
                say=to_stderr,
            )  # fmt: skip
        meta = files.read_json(out / "bundle.json")
        record.outputs["bundle"] = files.read_manifest(out).digest
        record.metrics.update({f"parity_{k}": v for k, v in meta["parity"].items() if isinstance(v, int | float)})
        return {"digest": record.outputs["bundle"], "temperature": meta["calibration"]["temperature"], **record.metrics}
