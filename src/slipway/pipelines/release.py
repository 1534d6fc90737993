"""The second half of every pipeline: from a checkpoint to a served release, or to a refusal."""

from typing import Any

from kfp import dsl

from slipway.components.deploy_model import deploy_model
from slipway.components.evaluate import evaluate
from slipway.components.export_onnx import export_onnx
from slipway.components.gate import gate
from slipway.components.refuse import refuse
from slipway.components.register_model import register_model
from slipway.pipelines.resources import apply


def release_checkpoint(
    prepared: Any,
    checked: Any,
    checkpoint: Any,
    *,
    model_name: Any,
    variants: Any,
    max_variant_drop: Any,
    robustness_items: Any,
    min_accuracy: Any,
    min_class_recall: Any,
    max_accuracy_drop: Any,
    min_test_items: Any,
    rules: Any,
    promote: Any,
    namespace: Any,
    run_id: str,
) -> None:
    """Compose export, evaluation, gate, and what follows from its verdict; every argument is a channel of the pipeline.

    The gate's verdict is 'pass' or 'fail' and always has both branches: KFP skips a branch whose condition it cannot
    resolve without a word, and a run in which neither ran would count as a success.
    """
    exported = export_onnx(
        prepared=prepared, checkpoint=checkpoint, variants=variants, max_variant_drop=max_variant_drop, run_id=run_id
    )
    apply(exported, "export_onnx")
    bundle = exported.outputs["bundle"]
    scored = evaluate(prepared=prepared, bundle=bundle, model_name=model_name, robustness_items=robustness_items, run_id=run_id)
    apply(scored, "evaluate")
    judged = gate(
        scores=scored.outputs["scores"],
        bundle=bundle,
        checkpoint=checkpoint,
        prepared=prepared,
        checked=checked,
        model_name=model_name,
        min_accuracy=min_accuracy,
        min_class_recall=min_class_recall,
        max_accuracy_drop=max_accuracy_drop,
        min_test_items=min_test_items,
        rules=rules,
        run_id=run_id,
    )
    apply(judged, "gate")
    with dsl.If(judged.outputs["Output"] == "pass", name="passed"):
        registered = register_model(
            bundle=bundle,
            scores=scored.outputs["scores"],
            verdict=judged.outputs["verdict"],
            model_name=model_name,
            promote=promote,
            run_id=run_id,
        )
        apply(registered, "register_model")
        deployed = deploy_model(
            release=registered.output,
            prepared=prepared,
            scores=scored.outputs["scores"],
            model_name=model_name,
            namespace=namespace,
            run_id=run_id,
        )
        apply(deployed, "deploy_model")
    with dsl.Else(name="refused"):
        apply(refuse(verdict=judged.outputs["verdict"], run_id=run_id), "refuse")
