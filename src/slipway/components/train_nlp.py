from typing import Any

from kfp import dsl

from slipway.components.images import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def train_nlp(
    prepared: dsl.Input[dsl.Dataset], checkpoint: dsl.Output[dsl.Model], model_name: str, run_id: str,
    architecture: str = "tfidf_logreg", epochs: int = 3, batch_size: int = 32, learning_rate: float = 0.00005,
    weight_decay: float = 0.01, label_smoothing: float = 0.0, augment: bool = False, precision: str = "fp32",
    device: str = "auto", deterministic: bool = True, seed: int = 0,
    pretrained: str = "", max_tokens: int = 128, regularisation: float = 4.0, max_features: int = 100000, ngrams: int = 2,
    options: dict[str, Any] = {},  # noqa: B006  # as KFP wants it
) -> None:  # fmt: skip
    from pathlib import Path

    from slipway import steps

    checkpoint.metadata.update(steps.train(
        dataset=Path(prepared.path), out=Path(checkpoint.path), model_name=model_name, run_id=run_id, keep_state=True,
        architecture=architecture, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
        weight_decay=weight_decay, label_smoothing=label_smoothing, augment=augment, precision=precision,
        device=device, deterministic=deterministic, seed=seed,
        pretrained=pretrained, max_tokens=max_tokens, regularisation=regularisation, max_features=max_features,
        ngrams=ngrams, options=options,
    ))  # fmt: skip
