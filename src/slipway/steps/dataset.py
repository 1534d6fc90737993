"""The step that makes the data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway import settings as settings_
from slipway.config import configured
from slipway.data.progress import to_stderr
from slipway.runs.step import recorded
from slipway.store import files
from slipway.store.uri import open_store


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
) -> dict[str, Any]:
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
            to_stderr(f"{finding.level}: {finding.check}: {finding.message}; {finding.advice}")
        record.results["findings"] = [finding.message for finding in findings.findings]
        key = f"checks/{record.outputs['dataset']}/{files.read_manifest(checked).digest}"
        record.results["checks"] = open_store(settings.store).put_dir(checked, key)
        report.refuse(findings)
        return {"name": prepared.name, "fingerprint": prepared.fingerprint, "digest": record.outputs["dataset"], **counts}
