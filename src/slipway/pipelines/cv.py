"""The pipeline of the family `cv`: classify pictures."""

from typing import Any

from kfp import dsl

from slipway.components.prepare_data import prepare_data
from slipway.components.train_cv import train_cv
from slipway.pipelines.release import release_checkpoint
from slipway.pipelines.resources import apply


@dsl.pipeline(name="slipway-cv")
def pipeline(
    dataset: str = "digits",
    data: str = "",
    model_name: str = "",
    size: int = 0,
    image_px: int = 0,
    label_column: str = "",
    slice_columns: str = "",
    train_fraction: float = 0.8,
    validation_fraction: float = 0.1,
    seed: int = 0,
    checks: dict[str, Any] = {},  # noqa: B006  # as KFP wants it
    architecture: str = "custom_cnn",
    width: float = 1.0,
    epochs: int = 10,
    batch_size: int = 64,
    learning_rate: float = 0.002,
    weight_decay: float = 0.01,
    label_smoothing: float = 0.05,
    augment: bool = True,
    precision: str = "fp32",
    device: str = "auto",
    deterministic: bool = True,
    options: dict[str, Any] = {},  # noqa: B006  # as KFP wants it
    variants: str = "",
    max_variant_drop: float = 0.005,
    robustness_items: int = 200,
    min_accuracy: float = 0.9,
    min_class_recall: float = 0.7,
    max_accuracy_drop: float = 0.02,
    min_test_items: int = 100,
    rules: dict[str, Any] = {},  # noqa: B006  # as KFP wants it
    promote: bool = False,
    namespace: str = "",
) -> None:
    """Classify pictures: from raw data to a trained, gated, registered and served model.

    Args:
        dataset: Known data set, used when data is empty.
        data: Your own data: a folder with one subfolder per class, or a labels.csv; on a cluster, a store URI such as s3://bucket/parts.
        model_name: Name in the registry; empty means cv- and the data set's name.
        size: Items of a generated data set; 0 means its own size.
        image_px: Side of the model input in pixels; 0 means the data set's own.
        label_column: Column of the labels in your own labels.csv; empty takes the first usual name.
        slice_columns: Columns of your own table whose values are slices that the report and the gate look at.
        train_fraction: Share of the items to train on; official test sets are kept.
        validation_fraction: Share of the items to choose the best epoch on; the rest is the test split.
        seed: Seed of the split, of generated data and of training.
        checks: Checks of the data, by name; `slipway options checks` lists them, --set checks.NAME=refuse sets them.
        architecture: Name in the table of architectures.
        width: Factor on the channel counts of custom_cnn; time goes with its square.
        epochs: Passes over the training split; the best one on validation is kept.
        batch_size: Items per optimizer step.
        learning_rate: Peak learning rate per optimizer step.
        weight_decay: Decoupled weight decay.
        label_smoothing: Share of the target spread over the other classes, 0 to below 1.
        augment: Vary the training items (shifts, flips).
        precision: Arithmetic of training: fp32, bf16, fp16, or auto for bf16 where the device multiplies it.
        device: auto, cpu or cuda.
        deterministic: Same seed, same bits, on the same processor and number of threads.
        options: Further options of training, by name; `slipway options cv` lists them.
        variants: Further variants of the graph, with commas between, or all that can run here; empty: fp32 alone.
        max_variant_drop: Budget of a variant: how much accuracy it may lose on validation.
        robustness_items: Test items that are disturbed in every way, to see what the model bears; 0 leaves that out.
        min_accuracy: Gate: least accuracy on the test split.
        min_class_recall: Gate: least recall of every class; 0 switches the rule off.
        max_accuracy_drop: Gate: how much worse than the champion may not be excluded.
        min_test_items: Gate: fewer test items cannot carry a verdict.
        rules: Gate: further rules, by name; `slipway options gate` lists them.
        promote: Make a model that passes the champion at once.
        namespace: Kubernetes namespace to serve in; empty: only check that the release serves.
    """
    run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    data_task = prepare_data(
        family="cv",
        dataset=dataset,
        data=data,
        size=size,
        image_px=image_px,
        text_column="",
        label_column=label_column,
        slice_columns=slice_columns,
        train_fraction=train_fraction,
        validation_fraction=validation_fraction,
        seed=seed,
        checks=checks,
        run_id=run_id,
    )
    prepared = apply(data_task, "prepare_data").outputs["prepared"]
    train_task = train_cv(
        prepared=prepared,
        model_name=model_name,
        run_id=run_id,
        architecture=architecture,
        width=width,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        augment=augment,
        precision=precision,
        device=device,
        deterministic=deterministic,
        seed=seed,
        options=options,
    )
    release_checkpoint(
        prepared,
        data_task.outputs["checked"],
        apply(train_task, "train").outputs["checkpoint"],
        model_name=model_name,
        variants=variants,
        max_variant_drop=max_variant_drop,
        robustness_items=robustness_items,
        min_accuracy=min_accuracy,
        min_class_recall=min_class_recall,
        max_accuracy_drop=max_accuracy_drop,
        min_test_items=min_test_items,
        rules=rules,
        promote=promote,
        namespace=namespace,
        run_id=run_id,
    )
