from kfp import dsl

from slipway.components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def export_onnx(
    prepared: dsl.Input[dsl.Dataset],
    checkpoint: dsl.Input[dsl.Model],
    bundle: dsl.Output[dsl.Model],
    variants: str,
    max_variant_drop: float,
    run_id: str,
) -> None:
    from pathlib import Path

    from slipway import steps

    bundle.metadata.update(
        steps.export_onnx(
            checkpoint=Path(checkpoint.path), dataset=Path(prepared.path), out=Path(bundle.path), variants=variants,
            max_variant_drop=max_variant_drop, run_id=run_id,
        )
    )  # fmt: skip
