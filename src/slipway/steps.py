"""The steps of every pipeline: plain functions, paths and plain values in, paths out.

The same functions run in a test, in a notebook, in KFP's local runner and in a pod. Each writes its line of the run
record (`runs/<run id>/<step>.json` in the store) and leaves a complete output directory or none.
"""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from slipway import bundle as bundles
from slipway import settings as settings_
from slipway.config import configured
from slipway.errors import ConfigError, ConflictError, GateRefusedError, NotFoundError
from slipway.runs.step import name_of, recorded, scratch, tracked
from slipway.store import files
from slipway.store.uri import fetch, open_store

Scalars = dict[str, Any]


def prepare_data(
    *,
    family: str,
    dataset: str,
    data: str,
    size: int,
    image_px: int,
    text_column: str,
    label_column: str,
    slice_columns: str,
    train_fraction: float,
    validation_fraction: float,
    seed: int,
    out: Path,
    checked: Path,
    run_id: str,
    checks: Mapping[str, Any] | None = None,
) -> Scalars:
    """Read a known data set, or the user's own `data`, split it by content, write the prepared data set and check it.

    Args:
        data: folder, table or store URI (see `runs.upload`) of the user's own data; empty means the known set named `dataset`.
        size: items of a generated set; 0 means its own default.
        image_px: side of the model input in pixels; 0 means the data set's own.
        slice_columns: columns of the user's own table whose values are slices, separated by commas.
        checked: where the findings go, see `data.checks.report`; to the store as well.
        checks: of `data.checks.config.CheckConfig`, as KFP hands them on.
    Returns: name, fingerprint, digest and counts, as flat values.
    Raises: DataError: the data cannot be used, or a check refuses them; the message names the item.
    """
    from slipway.data.checks import report
    from slipway.data.checks.check import check
    from slipway.data.checks.config import CheckConfig
    from slipway.data.prepare import PrepareConfig, prepare
    from slipway.data.sources import open_source

    settings, check_config = settings_.load(), configured(CheckConfig, checks or {}, where="checks")
    parameters = {"family": family, "dataset": dataset, "data": data, "size": size, "image_px": image_px, "seed": seed}
    with recorded("prepare_data", run_id, {}, parameters) as record:
        config = PrepareConfig(
            family=family,
            image_px=image_px,
            train_fraction=train_fraction,
            validation_fraction=validation_fraction,
            seed=seed,
        )
        raw = open_source(
            family, dataset=dataset, data=data, size=size, seed=seed, settings=settings,
            text_column=text_column, label_column=label_column, slice_columns=slice_columns,
        )  # fmt: skip
        prepared = prepare(raw, out, config)
        counts = {split: sum(per_label.values()) for split, per_label in prepared.counts.items()}
        record.outputs["dataset"] = files.read_manifest(out).digest
        record.metrics.update(counts)
        record.results["name"] = prepared.name
        findings = check(prepared, check_config, checked)
        for finding in findings.findings:
            sys.stderr.write(f"{finding.level}: {finding.check}: {finding.message}; {finding.advice}\n")
        record.results["findings"] = [finding.message for finding in findings.findings]
        key = f"checks/{record.outputs['dataset']}/{files.read_manifest(checked).digest}"
        record.results["checks"] = open_store(settings.store).put_dir(checked, key)
        report.refuse(findings)
        return {"name": prepared.name, "fingerprint": prepared.fingerprint, "digest": record.outputs["dataset"], **counts}


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
        name = model_name or _default_name(prepared.family, prepared.name)
        with tracked(run_id, name) as run:
            run.log_params({**asked, "data": prepared.name, "data_fingerprint": prepared.fingerprint})
            with EpochLog(run) as log:
                run_training(on_epoch=log)
            run.log_files(out / "training_history.png")
            trained = _read_json(out / "model.json")
            if pruned := trained.get("pruned", {}):
                run.log_metrics(pruned)
        record.outputs["checkpoint"] = files.read_manifest(out).digest
        if "start" in trained:
            record.results["start"] = trained["start"]
        record.metrics.update(trained["best"] | pruned)
        return dict(record.metrics)


def export_onnx(
    *, checkpoint: Path, dataset: Path, out: Path, run_id: str, variants: str = "", max_variant_drop: float = 0.005
) -> Scalars:
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
    names, settings = wanted(variants), settings_.load()
    with recorded("export_onnx", run_id, inputs, {"variants": ",".join(names)}) as record, scratch(settings) as folder:
        forget(checkpoint, inputs["dataset"], open_store(settings.store))  # it has come through
        prepared, first = Dataset.load(dataset), folder / "bundle" if names else out
        export(checkpoint, prepared, first)
        if names:
            add_variants(
                bundles.load(first), prepared, out, names=names, max_drop=max_variant_drop, threads=settings.threads,
                say=lambda line: sys.stderr.write(f"{line}\n"),
            )  # fmt: skip
        meta = _read_json(out / "bundle.json")
        record.outputs["bundle"] = files.read_manifest(out).digest
        record.metrics.update({f"parity_{k}": v for k, v in meta["parity"].items() if isinstance(v, int | float)})
        return {"digest": record.outputs["bundle"], "temperature": meta["calibration"]["temperature"], **record.metrics}


def evaluate(*, bundle: Path, dataset: Path, model_name: str, out: Path, run_id: str, robustness_items: int = 0) -> Scalars:
    """Score the bundle, and the champion of the same name if there is one, on the raw bytes of the test split.

    Of several variants all are measured, and the one is scored that `evaluation.variants.order` puts first.

    Args:
        robustness_items: test items that are disturbed in every way; 0 leaves that out.
    Returns: metrics.json (see `evaluation.summary`).
    """
    from slipway.data.dataset import Dataset
    from slipway.evaluation import scores, variants
    from slipway.evaluation.summary import HEADLINES
    from slipway.tracking import registry

    settings = settings_.load()
    inputs = {"bundle": files.read_manifest(bundle).digest, "dataset": files.read_manifest(dataset).digest}
    with recorded("evaluate", run_id, inputs, {"model_name": model_name}) as record:
        prepared = Dataset.load(dataset)
        loaded, rows = variants.choose(bundle, prepared, threads=settings.threads)
        name = model_name or _model_name(loaded)
        current = registry.champion(name)
        champion = None
        if current is not None:
            champion = bundles.load(fetch(current.release_uri, settings.home / "cache"), threads=settings.threads)
            for variant, reason in champion.passed_over.items():
                sys.stderr.write(f"the champion's {variant} is passed over for {champion.variant}: {reason}\n")
        release = current.release_digest if current else ""
        scores.evaluate(
            loaded, prepared, out, champion=champion, champion_release=release, robustness_items=robustness_items, variants=rows
        )
        summary = dict(scores.load(out).summary)
        record.outputs["scores"] = files.read_manifest(out).digest
        record.results.update({"model": name, "variant": loaded.variant})
        told = (*HEADLINES, "accuracy_low", "accuracy_high", "n")
        record.metrics.update({name: summary[name] for name in told if summary[name] is not None})
        with tracked(run_id, name) as run:
            run.log_metrics({f"test_{k}": v for k, v in record.metrics.items()})
            run.log_files(out, "evaluation")
        return summary


def gate(
    *,
    scores: Path,
    bundle: Path,
    checkpoint: Path,
    dataset: Path,
    checked: Path,
    model_name: str,
    out: Path,
    page: Path,
    run_id: str,
    rules: Mapping[str, Any] | None = None,
    **fields: Any,
) -> str:
    """Judge the scores, write the verdict directory, and tell people of it: report and model card.

    Args:
        page: where the report goes as one HTML file; with the card it goes to the store and to MLflow, too.
        fields: of `evaluation.gate.GateConfig`.
        rules: further fields, as KFP hands them on.
    Returns: 'pass' or 'fail', nothing else: pipelines branch on it.
    """
    from slipway.data.dataset import Dataset
    from slipway.evaluation import gate as gates
    from slipway.evaluation import scores as scores_
    from slipway.evaluation.report import pages
    from slipway.evaluation.report.material import Material

    config = configured(gates.GateConfig, {**fields, **(rules or {})}, where="gate")
    settings = settings_.load()
    with recorded("gate", run_id, {"scores": files.read_manifest(scores).digest}, {}) as record:
        scored = scores_.load(scores)
        loaded = bundles.load(bundle, variant=scored.summary["variant"], threads=settings.threads)
        verdict = gates.write(out, scored, config)
        record.outputs["verdict"] = files.read_manifest(out).digest
        record.results.update({"verdict": verdict["verdict"], "reasons": verdict["reasons"]})
        material = Material(
            model=model_name or _model_name(loaded),
            run_id=name_of(run_id),
            scores=scored,
            verdict=verdict,
            bundle=loaded,
            dataset=Dataset.load(dataset),
            checked=checked,
            history=_read_json(checkpoint / "model.json")["history"],
            seconds=_read_json(checkpoint / "timings.json"),
        )
        with scratch(settings) as folder:
            pages.write(folder / "report", material)
            files.write_bytes(page, (folder / "report" / pages.REPORT).read_bytes())
            digest = files.read_manifest(folder / "report").digest
            key = f"evaluations/{loaded.digest}/report-{digest}"
            record.results["report"] = open_store(settings.store).put_dir(folder / "report", key)
            with tracked(run_id, material.model) as run:
                run.log_files(folder / "report", "report")
        return str(verdict["verdict"])


def refuse(*, verdict: Path, run_id: str) -> NoReturn:
    """End a refused run: print the verdict and fail.

    Raises: GateRefusedError: always; the message lists the reasons.
    """
    from slipway.tracking.runs import finish

    with recorded("refuse", run_id, {"verdict": files.read_manifest(verdict).digest}, {}):
        finish(name_of(run_id), "FAILED")
        reasons = _read_json(verdict / "verdict.json")["reasons"]
        raise GateRefusedError(f"refused by the gate: {'; '.join(reasons)}")
    raise AssertionError("unreachable: the block above raises")


def register_model(*, bundle: Path, scores: Path, verdict: Path, model_name: str, promote: bool, run_id: str) -> str:
    """Write the release to the store, signed where there is a key, and a version with the alias `challenger` to the registry.

    Scores and verdict go to the store as well, below the bundle's digest. Doing it twice changes nothing.

    Args:
        promote: also move the alias `champion`, as the quick presets do.
    Returns: the release's URI, immutable.
    Raises: ConflictError: the champion is no longer the one the gate compared with.
    """
    from slipway.tracking import registry
    from slipway.tracking.runs import finish

    settings = settings_.load()
    judged = _read_json(verdict / "verdict.json")
    inputs = {
        name: files.read_manifest(path).digest
        for name, path in {"bundle": bundle, "scores": scores, "verdict": verdict}.items()
    }
    with recorded("register_model", run_id, inputs, {"model_name": model_name, "promote": promote}) as record:
        if judged["verdict"] != "pass" or judged["bundle"] != inputs["bundle"] or judged["scores"] != inputs["scores"]:
            raise ConflictError(
                "register_model: the verdict is not a pass for this bundle and these scores; run the gate again"
            )
        store = open_store(settings.store)
        name = model_name or _model_name(bundles.load(bundle))
        with scratch(settings) as folder:
            release = folder / "release"
            about = inputs | {key: judged[key] for key in ("variant", "order")}
            bundles.write_release(bundle, release, about, private_key=settings.model_private_key)
            digest = files.read_manifest(release).digest
            below = f"evaluations/{inputs['bundle']}"
            parts = {
                f"models/{name}/{digest}": release,
                f"{below}/scores-{inputs['scores']}": scores,
                f"{below}/verdict-{inputs['verdict']}": verdict,
            }
            uri, *_ = [store.put_dir(path, key) for key, path in parts.items()]
            version = registry.register(
                name,
                release_uri=uri,
                release_digest=digest,
                bundle_digest=inputs["bundle"],
                run_id=name_of(run_id),
                accuracy=_read_json(scores / "metrics.json")["accuracy"],
                expected_champion=judged["champion"] or None,
            )
            for key, path in parts.items():  # gc may just have taken what was old and not yet registered
                store.put_dir(path, key)
        if promote:
            version = registry.promote(name, version.version)
        finish(name_of(run_id))
        record.outputs["release"] = digest
        record.results.update({"model": name, "version": version.version, "uri": uri, "aliases": list(version.aliases)})
        return uri


def deploy_model(*, release: str, dataset: Path, scores: Path, model_name: str, namespace: str, run_id: str) -> str:
    """Launch a release and see that it answers as it was scored.

    Always: serve it on this machine, send at least 200 test items over HTTP and compare with the stored scores.
    Of a release in a store: render its InferenceService into the run record; with a namespace, apply it there and wait
    until it serves, with a route where the settings name a gateway.

    Returns: URL of the v2 endpoint: the cluster's, or the one `slipway serve` gives it.
    Raises: ConflictError: the model's service there is not ours, or a rollout of it is under way.
    """
    from slipway.data.dataset import Dataset
    from slipway.deploy import service as services
    from slipway.deploy.check import serve_and_compare
    from slipway.deploy.kube import Kube
    from slipway.deploy.route import parse_gateway
    from slipway.evaluation import scores as scores_

    settings = settings_.load()
    gateway = parse_gateway(settings.gateway, settings.gateway_domain, settings.gateway_timeout_s)
    path = fetch(release, settings.home / "cache")
    loaded = bundles.load(path, public_key=settings.model_public_key)
    name, digest = model_name or _model_name(loaded), files.read_manifest(path).digest
    with recorded("deploy_model", run_id, {"release": digest}, {"namespace": namespace}) as record:
        expected = scores_.load(scores).probabilities_NK
        report = serve_and_compare(str(path), name, Dataset.load(dataset).raw("test"), expected)
        endpoint = f"http://127.0.0.1:8080/v2/models/{name}/infer"  # where `slipway serve` has it
        if namespace or "://" in release:  # pods cannot reach a directory of this machine
            served = services.Release(model=name, version=_version(name, digest, settings), uri=release, digest=digest)
            record.results["inference_service"] = services.rendered(served, namespace or "default", image=settings.serve_image)
            if namespace:
                endpoint = services.deploy(Kube(), served, namespace, image=settings.serve_image, gateway=gateway)
        outputs = {o["name"]: o["data"] for o in report.pop("sample")["response"]["outputs"]}
        answer = f"{outputs['label'][0]} ({max(outputs['probabilities']):.2f}), {report['n']} equal to the scores"
        record.results.update({"endpoint": endpoint, "answer": answer, "served": report})
        return endpoint


def _version(name: str, digest: str, settings: settings_.Settings) -> str:
    """Of the registry; the start of the digest for a release that is in none."""
    from slipway.tracking import registry

    try:
        known = registry.versions(name, settings=settings)
    except NotFoundError:
        known = []
    return next((str(v.version) for v in known if v.release_digest == digest), digest[:12])


def _default_name(family: str, data_name: str) -> str:
    """Without underscores: it is to be a Kubernetes name, too."""
    return f"{family}-{data_name}".replace("_", "-")


def _model_name(loaded: bundles.Bundle) -> str:
    return _default_name(loaded.family, loaded.meta["data"]["name"])


def _read_json(path: Path) -> Scalars:
    import json

    value: Scalars = json.loads(path.read_text(encoding="utf-8"))
    return value
