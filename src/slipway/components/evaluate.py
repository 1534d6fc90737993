from kfp import dsl

from slipway.components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def evaluate(
    prepared: dsl.Input[dsl.Dataset],
    bundle: dsl.Input[dsl.Model],
    scores: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    model_name: str,
    robustness_items: int,
    run_id: str,
) -> None:
    from pathlib import Path

    from slipway import steps

    out = steps.evaluate(
        bundle=Path(bundle.path), dataset=Path(prepared.path), model_name=model_name, out=Path(scores.path), run_id=run_id,
        robustness_items=robustness_items,
    )  # fmt: skip
    for name, value in out.items():
        if isinstance(value, (int, float)):
            metrics.log_metric(name, value)
    confusion.log_confusion_matrix(out["labels"], out["confusion"])
