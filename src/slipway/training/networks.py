"""Training of networks: from a data set to the weights of one, or of an ensemble whose members are trained in turn."""

# N items, H/W px, C channels, K classes

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from slipway.data.dataset import Dataset
from slipway.errors import ConfigError, DataError
from slipway.models import architectures
from slipway.models.runtime import pick_device, pick_precision, torch_session
from slipway.models.voting import Voting
from slipway.preprocess import Preprocess
from slipway.store import files
from slipway.training import loop
from slipway.training.batches import Batches
from slipway.training.checkpoint import StoredState, members, run_key
from slipway.training.distributed import Workers
from slipway.training.history import EpochRecord
from slipway.training.recipe import TrainConfig
from slipway.training.result import Trained, timeless
from slipway.training.start import Start, open_start, size

if TYPE_CHECKING:
    from slipway.store.uri import Store

START_IMAGES = 5000
"""At most so many training images are shown to a network that sets its first filters by them."""
Observer = Callable[[EpochRecord], None]


@dataclass(slots=True)
class _Task:
    """What differs between images and texts."""

    preprocess: Preprocess
    make: Callable[[TrainConfig], tuple[nn.Module, dict[str, Any]]]
    """A network with its first weights, and the options it was built with."""
    batches: Callable[[str, TrainConfig], Batches]
    """A split, as the loop reads it."""
    start: Start | None


@dataclass(slots=True)
class _Members:
    """Networks trained so far."""

    models: list[nn.Module] = field(default_factory=list)
    built: list[dict[str, Any]] = field(default_factory=list)
    history: list[EpochRecord] = field(default_factory=list)
    best: list[EpochRecord] = field(default_factory=list)
    states: list[StoredState] = field(default_factory=list)

    def clear(self) -> None:
        """Remove what was kept for resuming."""
        for state in self.states:
            state.clear()


def train(
    dataset: Dataset,
    config: TrainConfig,
    store: "Store | None",
    cache: Path | None,
    on_epoch: Observer | None,
    workers: Workers,
) -> Trained:
    """See `train.train`; every worker calls it, and gets the same."""
    from slipway.training.teacher import soft_targets

    device = pick_device(config.device)
    config = config.resolve(device=device, precision=pick_precision(config.precision, device))
    digest = files.read_manifest(dataset.path).digest
    if workers.same(digest.encode()) != digest.encode():
        raise DataError(f"{dataset.path}: worker {workers.rank} has another data set there than worker 0; give all the same")
    kind = architectures.find(config.architecture).input
    start = open_start(dataset, config, cache=cache) if config.start else None
    task = (_image_task if kind == "image" else _text_task)(dataset, config, start)
    soft_NK = soft_targets(dataset, config, cache=cache) if config.teacher else None
    trained = _Members()
    with torch_session(threads=config.threads, deterministic=config.deterministic):
        validation = task.batches("validation", config)
        for i, member in enumerate(members(config)):
            architecture = member.architecture
            if len(config.members) > 1 and workers.rank == 0:
                sys.stderr.write(f"ensemble: member {i + 1} of {len(config.members)}, {architecture}\n")
            torch.manual_seed(member.seed)
            model, options = task.make(member)
            model = model.to(config.device)
            if kind == "image":  # convolutions are faster so, on CPUs as on GPUs
                model = model.to(memory_format=torch.channels_last)
            kept = StoredState(store, run_key(member, digest, start.digest if start else ""), workers) if store else None
            state = loop.fit(
                model,
                task.batches("train", member),
                validation,
                member,
                num_classes=len(dataset.labels),
                soft_NK=soft_NK,
                keeper=kept,
                on_epoch=_numbered_on(on_epoch, len(trained.history)),
                workers=workers,
            )
            model.load_state_dict(state.best)
            trained.models.append(model)
            trained.built.append({"architecture": architecture, "options": options})
            trained.best.append(state.history[state.best_epoch - 1])
            trained.history += [replace(r, epoch=r.epoch + len(trained.history)) for r in state.history]
            trained.states += [kept] if kept else []
        return _result(task, config, trained, validation)


def _result(task: _Task, config: TrainConfig, trained: _Members, validation: Batches) -> Trained:
    single = len(trained.models) == 1
    model = trained.models[0] if single else Voting(trained.models, "none")
    best = timeless(trained.best[0])
    if not single or config.tta != "none":
        loss, accuracy = loop.evaluate(Voting(trained.models, config.tta), validation)
        best |= {"val_loss": loss, "val_accuracy": accuracy}
    weights = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in model.state_dict().items()}
    return Trained(
        weights=weights,
        preprocess=task.preprocess,
        history=trained.history,
        best=best,
        config=config,
        members=trained.built,
        pruned=size(model, config, task.start),
        start=task.start.digest if task.start else "",
        seen_before=task.start.train_items if task.start else None,
        clear=trained.clear,
    )


def _image_task(dataset: Dataset, config: TrainConfig, start: Start | None) -> _Task:
    from slipway.models.pretrained import load
    from slipway.training.augment import Augment
    from slipway.training.batches import ImageBatches, mean_and_std

    preprocess = dataset.preprocess
    if preprocess is None:
        raise DataError(f"{dataset.path}: holds no images")
    side_px = min(preprocess.height_px, preprocess.width_px)
    arrays = {split: dataset.arrays(split) for split in ("train", "validation")}
    augment = Augment(config, preprocess.shape) if config.augment else None

    def make(config: TrainConfig) -> tuple[nn.Module, dict[str, Any]]:
        options = _options(config)
        if start:
            return start.model(config, options)
        model = architectures.build(
            config.architecture, num_classes=len(dataset.labels), image_px=side_px, channels=preprocess.channels, **options
        )
        if config.pretrained:
            load(model, config.pretrained, config.architecture)
            return model, options
        model.set_normalisation(*mean_and_std(arrays["train"][0]))
        model.initialise(torch.from_numpy(np.array(arrays["train"][0][:START_IMAGES])))
        return model, options

    def batches(split: str, config: TrainConfig) -> Batches:
        return ImageBatches(*arrays[split], config.device, augment)

    return _Task(preprocess, make, batches, start)


def _text_task(dataset: Dataset, config: TrainConfig, start: Start | None) -> _Task:
    from slipway.models import text
    from slipway.training.batches import TokenBatches

    if start:
        preprocess = start.restored.preprocess
    else:
        folder, encoder = text.resolve(config.pretrained)
        preprocess = text.tokenizer(folder, config.max_tokens, encoder)

    def make(config: TrainConfig) -> tuple[nn.Module, dict[str, Any]]:
        if start:
            return start.model(config, {} if config.pooling == "auto" else {"pooling": config.pooling})
        pooling = text.pooling_of(folder) if config.pooling == "auto" else config.pooling
        options: dict[str, Any] = {"encoder": encoder, "pooling": pooling}
        model = architectures.build(config.architecture, num_classes=len(dataset.labels), **options)
        text.load_pretrained(model, folder)
        return model, options

    def batches(split: str, config: TrainConfig) -> Batches:
        return TokenBatches(dataset.texts(split), dataset.label_indices(split), config.device, preprocess)

    return _Task(preprocess, make, batches, start)


def _options(config: TrainConfig) -> dict[str, Any]:
    """What the configuration says of the network itself, as far as the architecture can be told."""
    asked: dict[str, Any] = {}
    if config.width != 1.0:
        asked["width"] = config.width
    if config.dropout is not None:
        asked["dropout"] = config.dropout
    known = architectures.options_of(config.architecture)
    for name in sorted(asked.keys() - set(known)):
        sys.stderr.write(f"{config.architecture}: has no {name} to set, so {name} {asked.pop(name):g} is not used\n")
    return asked


def _numbered_on(on_epoch: Observer | None, done: int) -> Observer | None:
    if on_epoch is None or not done:
        return on_epoch
    return lambda record: on_epoch(replace(record, epoch=record.epoch + done))


@contextmanager
def observed(config: TrainConfig, on_epoch: Observer | None, workers: Workers) -> Iterator[Observer | None]:
    """The observer, and TensorBoard's event files below `config.tensorboard` where they are asked for.

    Raises: ConfigError: tensorboard is not installed.
    """
    if not config.tensorboard or workers.rank:
        yield on_epoch
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as exc:
        raise ConfigError(f"tensorboard: cannot be imported ({exc}); install slipway[tensorboard]") from exc
    with SummaryWriter(config.tensorboard) as writer:  # type: ignore[no-untyped-call]

        def observe(record: EpochRecord) -> None:
            for name, value in asdict(record).items():
                if name != "epoch":
                    writer.add_scalar(name, value, record.epoch)  # type: ignore[no-untyped-call]
            writer.flush()  # type: ignore[no-untyped-call]
            if on_epoch:
                on_epoch(record)

        yield observe
