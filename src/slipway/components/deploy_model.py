from kfp import dsl

from slipway.components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def deploy_model(
    release: str,
    prepared: dsl.Input[dsl.Dataset],
    scores: dsl.Input[dsl.Artifact],
    model_name: str,
    namespace: str,
    run_id: str,
) -> str:
    from pathlib import Path

    from slipway import steps

    return steps.deploy_model(
        release=release, dataset=Path(prepared.path), scores=Path(scores.path),
        model_name=model_name, namespace=namespace, run_id=run_id,
    )  # fmt: skip
