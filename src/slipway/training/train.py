"""Prepared data set and configuration in, checkpoint directory out (`result` says what is in it)."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from slipway import settings
from slipway.data.dataset import Dataset
from slipway.errors import DataError
from slipway.models import architectures
from slipway.models.runtime import before_torch, pick_device
from slipway.store import files
from slipway.store.uri import locate
from slipway.training import result
from slipway.training.history import EpochRecord
from slipway.training.recipe import TrainConfig

if TYPE_CHECKING:
    from slipway.store.uri import Store

Observer = Callable[[EpochRecord], None]


def train(
    dataset: Dataset,
    config: TrainConfig,
    out: Path,
    *,
    store: "Store | None" = None,
    cache: Path | None = None,
    publish: str = "",
    keep_state: bool = False,
    on_epoch: Observer | None = None,
) -> Path:
    """Train a model and write its checkpoint, complete or not at all.

    With `config.workers` above 1 that many processes do it together; a process that torchrun started is one of them, and only
    the first of those writes.

    Args:
        store: keeps the state after each epoch; the same call after a kill goes on from there, and ends with the
            weights of an uninterrupted run. None keeps nothing.
        publish: s3:// URI where the checkpoint goes as well, before the state is removed; empty means nowhere.
        keep_state: leave the state in the store, for whoever takes the checkpoint on: `checkpoint.forget` removes it. Should
            the checkpoint be lost on its way, the same call writes it again and trains nothing.
        cache: where a teacher from a store is fetched to; None allows local teachers only.
        on_epoch: called after every epoch trained by this call. The epochs of an ensemble's members are numbered on.
    Returns: `out`.
    Raises:
        ConfigError: a setting does not fit the data or this machine, or the loss stopped being a number.
        DataError: the data set is of another family, or a split is empty.
        ConflictError: another artifact is at `publish`.
        StepFailedError: one of several workers was killed.
    """
    started = time.perf_counter()
    write = partial(_write, out, dataset, publish=publish, keep_state=keep_state, started=started)
    entry = architectures.find(config.resolved_architecture, family=config.family)
    if dataset.family != config.family:
        raise DataError(
            f"{dataset.path}: prepared for family {dataset.family}, not {config.family}; prepare it for {config.family}"
        )
    for split in ("train", "validation"):
        if not len(dataset.label_indices(split)):
            raise DataError(f"{dataset.path}: no items in the {split} split; give more data or another split")
    if entry.input == "tfidf":
        if settings.load().rank == 0:  # one process is enough; others that torchrun started have nothing to do
            write(_tfidf(dataset, config, cache, on_epoch))
        return out
    before_torch()
    from slipway.training import networks
    from slipway.training.distributed import joined, launched

    if config.workers > 1 and not launched():
        from slipway.training.launch import launch

        uri = store.uri if store else ""
        launch(
            dataset.path, config, out, store=uri, cache=str(cache or ""), publish=publish, keep_state=keep_state,
            on_epoch=on_epoch,
        )  # fmt: skip
        return out
    with joined(pick_device(config.device)) as workers, networks.observed(config, on_epoch, workers) as observer:
        trained = networks.train(dataset, config, store, cache, observer, workers)
        if workers.rank == 0:
            write(trained)
    return out


def _write(out: Path, dataset: Dataset, trained: result.Trained, *, publish: str, keep_state: bool, started: float) -> None:
    with files.atomic_dir(out) as scratch:
        result.write(scratch, dataset, trained, time.perf_counter() - started)
    if publish:
        store, key = locate(publish)
        store.put_dir(out, key)
    if not keep_state:
        trained.clear()


def _tfidf(dataset: Dataset, config: TrainConfig, cache: Path | None, on_epoch: Observer | None) -> result.Trained:
    from slipway.training.teacher import soft_targets
    from slipway.training.text import fit_tfidf

    config = config.resolve(device="cpu", precision="fp32")
    train, validation = ((dataset.texts(split), dataset.label_indices(split)) for split in ("train", "validation"))
    soft_NK = soft_targets(dataset, config, cache=cache) if config.teacher else None
    model, preprocess, record = fit_tfidf(train, validation, dataset.labels, config, soft_NK=soft_NK)
    if on_epoch:
        on_epoch(record)
    members = [{"architecture": config.architecture, "options": {"num_terms": len(preprocess.vocabulary)}}]
    return result.Trained(model.state_dict(), preprocess, [record], result.timeless(record), config, members)
