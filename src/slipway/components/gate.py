from typing import Any

from kfp import dsl

from slipway.components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def gate(
    scores: dsl.Input[dsl.Artifact],
    verdict: dsl.Output[dsl.Artifact],
    min_accuracy: float,
    min_class_recall: float,
    max_accuracy_drop: float,
    min_test_items: int,
    rules: dict[str, Any],
    run_id: str,
) -> str:
    from pathlib import Path

    from slipway import steps

    return steps.gate(
        scores=Path(scores.path), out=Path(verdict.path), min_accuracy=min_accuracy, min_class_recall=min_class_recall,
        max_accuracy_drop=max_accuracy_drop, min_test_items=min_test_items, rules=rules, run_id=run_id,
    )  # fmt: skip
