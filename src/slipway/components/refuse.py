from kfp import dsl

from slipway.components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def refuse(verdict: dsl.Input[dsl.Artifact], run_id: str) -> None:
    from pathlib import Path

    from slipway import steps

    steps.refuse(verdict=Path(verdict.path), run_id=run_id)
