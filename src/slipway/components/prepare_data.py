from typing import Any

from kfp import dsl

from slipway.components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def prepare_data(
    prepared: dsl.Output[dsl.Dataset], checked: dsl.Output[dsl.Artifact], family: str, dataset: str, data: str,
    size: int, image_px: int, text_column: str, label_column: str, slice_columns: str, train_fraction: float,
    validation_fraction: float, seed: int, checks: dict[str, Any], run_id: str,
) -> None:  # fmt: skip
    from pathlib import Path

    from slipway import steps

    prepared.metadata.update(steps.prepare_data(
        family=family, dataset=dataset, data=data, size=size, image_px=image_px, text_column=text_column,
        label_column=label_column, slice_columns=slice_columns, train_fraction=train_fraction,
        validation_fraction=validation_fraction, seed=seed, out=Path(prepared.path), checked=Path(checked.path),
        checks=checks, run_id=run_id,
    ))  # fmt: skip
