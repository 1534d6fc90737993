"""The steps that judge the bundle: scores, the gate's verdict on them, and the end of a run that it refuses."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from slipway import bundle as bundles
from slipway import settings as settings_
from slipway.config import configured
from slipway.data.progress import to_stderr
from slipway.errors import GateRefusedError
from slipway.runs.step import name_of, recorded, scratch, tracked
from slipway.steps import names
from slipway.store import files
from slipway.store.uri import fetch, open_store


def evaluate(
    *, bundle: Path, dataset: Path, model_name: str, out: Path, run_id: str, robustness_items: int = 0
) -> dict[str, Any]:
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
        name = model_name or names.of_bundle(loaded)
        current = registry.champion(name)
        champion = None
        if current is not None:
            champion = bundles.load(fetch(current.release_uri, settings.home / "cache"), threads=settings.threads)
            for variant, reason in champion.passed_over.items():
                to_stderr(f"the champion's {variant} is passed over for {champion.variant}: {reason}")
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
    """Judge the scores, write the verdict directory (verdict.json, the model card), and tell people of it: the report.

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
        verdict = gates.verdict_of(scored, config)
        record.results.update({"verdict": verdict["verdict"], "reasons": verdict["reasons"]})
        material = Material(
            model=model_name or names.of_bundle(loaded),
            run_id=name_of(run_id),
            scores=scored,
            verdict=verdict,
            bundle=loaded,
            dataset=Dataset.load(dataset),
            checked=checked,
            history=files.read_json(checkpoint / "model.json")["history"],
            seconds=files.read_json(checkpoint / "timings.json"),
        )
        with scratch(settings) as folder:
            pages.write(folder / "report", material)
            with files.atomic_dir(out) as written:
                files.write_json(written / "verdict.json", verdict)
                shutil.copyfile(folder / "report" / bundles.CARD, written / bundles.CARD)
            record.outputs["verdict"] = files.read_manifest(out).digest
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
        reasons = files.read_json(verdict / "verdict.json")["reasons"]
        raise GateRefusedError(f"refused by the gate: {'; '.join(reasons)}")
    raise AssertionError("unreachable: the block above raises")
