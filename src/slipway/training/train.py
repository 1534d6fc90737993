"""Prepared data set and configuration in, checkpoint directory out.

weights.safetensors    the best epoch's
model.json             family, architecture, options, labels, configuration, history, input size, data, preprocessing state
tokenizer.json | vocabulary.json
train_items.npy        uint64, sorted: the first 8 bytes of the content hash of every training item
training_history.png
timings.json           seconds; outside the digest
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slipway.data.dataset import Dataset
from slipway.errors import DataError
from slipway.models import architectures
from slipway.models.architectures import build
from slipway.models.runtime import before_torch
from slipway.preprocess import Preprocess
from slipway.store import files
from slipway.training import history as histories
from slipway.training.history import EpochRecord
from slipway.training.recipe import TrainConfig

if TYPE_CHECKING:
    from slipway.store.uri import Store

FORMAT = 1
Observer = Callable[[EpochRecord], None]


@dataclass(slots=True)
class _Trained:
    """What each way of training comes down to."""

    weights: Mapping[str, Any]
    preprocess: Preprocess
    history: list[EpochRecord]
    best_epoch: int
    config: TrainConfig
    options: dict[str, Any] = field(default_factory=dict)
    """Of the architecture's builder: with them, the network is built again."""
    clear: Callable[[], None] = lambda: None
    """Removes the state kept for resuming."""


def train(
    dataset: Dataset,
    config: TrainConfig,
    out: Path,
    *,
    store: "Store | None" = None,
    on_epoch: Observer | None = None,
) -> Path:
    """Train a model and write its checkpoint, complete or not at all.

    Args:
        store: keeps the state after each epoch; the same call after a kill goes on from there, and ends with the
            weights of an uninterrupted run. None keeps nothing.
        on_epoch: called after every epoch trained by this call.
    Returns: `out`.
    Raises:
        ConfigError: a setting does not fit the data or this machine, or the loss stopped being a number.
        DataError: the data set is of another family, or a split is empty.
    """
    started = time.perf_counter()
    entry = architectures.find(config.resolved_architecture, family=config.family)
    if dataset.family != config.family:
        raise DataError(
            f"{dataset.path}: prepared for family {dataset.family}, not {config.family}; prepare it for {config.family}"
        )
    for split in ("train", "validation"):
        if not len(dataset.label_indices(split)):
            raise DataError(f"{dataset.path}: no items in the {split} split; give more data or another split")
    if entry.input != "tfidf":
        before_torch()
    run = {"image": _train_images, "wordpiece": _train_encoder, "tfidf": _train_tfidf}[entry.input]
    trained = run(dataset, config, store, on_epoch)
    with files.atomic_dir(out) as scratch:
        _write(scratch, dataset, trained, time.perf_counter() - started)
    trained.clear()
    return out


def _train_images(dataset: Dataset, config: TrainConfig, store: "Store | None", on_epoch: Observer | None) -> _Trained:
    from slipway.training.augment import AUGMENTS
    from slipway.training.batches import ImageBatches, mean_and_std

    preprocess = dataset.preprocess
    if preprocess is None:
        raise DataError(f"{dataset.path}: holds no images")
    options = {} if config.width == 1.0 else {"width": config.width}
    if options and "width" not in architectures.options_of(config.resolved_architecture):
        sys.stderr.write(f"{config.resolved_architecture}: comes in one width, so width {config.width:g} is not used\n")
        options = {}
    side_px = min(preprocess.height_px, preprocess.width_px)
    augment = AUGMENTS[config.family] if config.augment else None
    arrays = {split: dataset.arrays(split) for split in ("train", "validation")}

    def make(config: TrainConfig) -> Any:
        model = build(
            config.architecture, num_classes=len(dataset.labels), image_px=side_px, channels=preprocess.channels, **options
        )
        model.set_normalisation(*mean_and_std(arrays["train"][0]))
        return model

    def batches(split: str, config: TrainConfig) -> ImageBatches:
        return ImageBatches(*arrays[split], config.device, augment)

    return _loop(dataset, config, store, on_epoch, make=make, batches=batches, preprocess=preprocess, options=options)


def _train_encoder(dataset: Dataset, config: TrainConfig, store: "Store | None", on_epoch: Observer | None) -> _Trained:
    from slipway.models import text
    from slipway.training.batches import TokenBatches

    folder, encoder = text.resolve(config.pretrained)
    preprocess = text.tokenizer(folder, config.max_tokens, encoder)

    def make(config: TrainConfig) -> Any:
        model = build(config.architecture, num_classes=len(dataset.labels), encoder=encoder)
        text.load_pretrained(model, folder)
        return model

    def batches(split: str, config: TrainConfig) -> TokenBatches:
        return TokenBatches(dataset.texts(split), dataset.label_indices(split), config.device, preprocess)

    return _loop(
        dataset, config, store, on_epoch, make=make, batches=batches, preprocess=preprocess, options={"encoder": encoder}
    )


def _loop(
    dataset: Dataset,
    config: TrainConfig,
    store: "Store | None",
    on_epoch: Observer | None,
    *,
    make: Callable[[TrainConfig], Any],
    batches: Callable[[str, TrainConfig], Any],
    preprocess: Preprocess,
    options: dict[str, Any],
) -> _Trained:
    import torch

    from slipway.models.runtime import pick_device, torch_session
    from slipway.training import loop
    from slipway.training.checkpoint import StoredState, run_key

    config = config.resolve(device=pick_device(config.device))
    with torch_session(threads=config.threads, deterministic=config.deterministic):
        torch.manual_seed(config.seed)
        model = make(config).to(config.device)
        kept = StoredState(store, run_key(config, files.read_manifest(dataset.path).digest)) if store else None
        state = loop.fit(model, batches("train", config), batches("validation", config), config, keeper=kept, on_epoch=on_epoch)
    weights = {name: tensor.contiguous().numpy() for name, tensor in state.best.items()}
    clear = kept.clear if kept else lambda: None
    return _Trained(weights, preprocess, state.history, state.best_epoch, config, options, clear)


def _train_tfidf(dataset: Dataset, config: TrainConfig, _store: "Store | None", on_epoch: Observer | None) -> _Trained:
    from slipway.training.text import fit_tfidf

    config = config.resolve(device="cpu")
    train, validation = ((dataset.texts(split), dataset.label_indices(split)) for split in ("train", "validation"))
    model, preprocess, record = fit_tfidf(train, validation, dataset.labels, config)
    if on_epoch:
        on_epoch(record)
    return _Trained(model.state_dict(), preprocess, [record], 1, config, {"num_terms": len(preprocess.vocabulary)})


def _write(scratch: Path, dataset: Dataset, trained: _Trained, seconds: float) -> None:
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in trained.weights.items()}, scratch / "weights.safetensors")
    timed = ("seconds", "items_per_s")
    history = [{k: v for k, v in asdict(record).items() if k not in timed} for record in trained.history]
    shape = getattr(trained.preprocess, "shape", None)
    files.write_json(
        scratch / "model.json",
        {
            "format": FORMAT,
            "family": trained.config.family,
            "architecture": trained.config.architecture,
            "options": trained.options,
            "labels": list(dataset.labels),
            "input": dict(zip(("height_px", "width_px", "channels"), shape, strict=True)) if shape else {},
            "preprocess": trained.preprocess.save(scratch),
            "config": asdict(trained.config),
            "data": {
                "name": dataset.name,
                "fingerprint": dataset.fingerprint,
                "counts": {split: dict(counts) for split, counts in dataset.counts.items()},
            },
            "best": history[trained.best_epoch - 1],
            "history": history,
        },
        sort_keys=False,
    )
    np.save(scratch / "train_items.npy", np.sort(dataset.item_hashes("train")))
    histories.draw(trained.history, trained.best_epoch, scratch / "training_history.png")
    epochs = [{"epoch": r.epoch, **{k: getattr(r, k) for k in timed}} for r in trained.history]
    files.write_json(scratch / "timings.json", {"train_s": seconds, "epochs": epochs})
