from kfp import dsl

from slipway.components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def register_model(
    bundle: dsl.Input[dsl.Model],
    scores: dsl.Input[dsl.Artifact],
    verdict: dsl.Input[dsl.Artifact],
    model_name: str,
    promote: bool,
    run_id: str,
) -> str:
    from pathlib import Path

    from slipway import steps

    return steps.register_model(
        bundle=Path(bundle.path), scores=Path(scores.path), verdict=Path(verdict.path),
        model_name=model_name, promote=promote, run_id=run_id,
    )  # fmt: skip
