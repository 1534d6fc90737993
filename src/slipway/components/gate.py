from typing import Any

from kfp import dsl

from slipway.components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def gate(
    scores: dsl.Input[dsl.Artifact], bundle: dsl.Input[dsl.Model], checkpoint: dsl.Input[dsl.Model],
    prepared: dsl.Input[dsl.Dataset], checked: dsl.Input[dsl.Artifact],
    verdict: dsl.Output[dsl.Artifact], report: dsl.Output[dsl.HTML], model_name: str,
    min_accuracy: float,
    min_class_recall: float,
    max_accuracy_drop: float,
    min_test_items: int,
    rules: dict[str, Any],
    run_id: str,
) -> str:  # fmt: skip
    from pathlib import Path

    from slipway import steps

    return steps.gate(
        scores=Path(scores.path), bundle=Path(bundle.path), checkpoint=Path(checkpoint.path), dataset=Path(prepared.path),
        checked=Path(checked.path), model_name=model_name, out=Path(verdict.path), page=Path(report.path),
        min_accuracy=min_accuracy, min_class_recall=min_class_recall, max_accuracy_drop=max_accuracy_drop,
        min_test_items=min_test_items, rules=rules, run_id=run_id,
    )  # fmt: skip
