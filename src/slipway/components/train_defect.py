from typing import Any

from kfp import dsl

from slipway.components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_defect(
    prepared: dsl.Input[dsl.Dataset], checkpoint: dsl.Output[dsl.Model], model_name: str, run_id: str,
    architecture: str = "defect_small", epochs: int = 20, batch_size: int = 16, learning_rate: float = 0.003,
    weight_decay: float = 0.01, label_smoothing: float = 0.05, augment: bool = True, precision: str = "fp32",
    device: str = "auto", deterministic: bool = True, seed: int = 0, width: float = 1.0,
    options: dict[str, Any] = {},  # noqa: B006  # as KFP wants it
) -> None:  # fmt: skip
    from pathlib import Path

    from slipway import steps

    checkpoint.metadata.update(steps.train(
        dataset=Path(prepared.path), out=Path(checkpoint.path), model_name=model_name, run_id=run_id, keep_state=True,
        architecture=architecture, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
        weight_decay=weight_decay, label_smoothing=label_smoothing, augment=augment, precision=precision,
        device=device, deterministic=deterministic, seed=seed, width=width, options=options,
    ))  # fmt: skip
