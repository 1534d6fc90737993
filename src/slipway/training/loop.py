"""The loop: epochs of steps over batches, validation after each, the best kept. Everything that varies is passed in."""

# B batch, K classes, N items

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from slipway import metrics
from slipway.errors import ConfigError
from slipway.training.batches import Batches
from slipway.training.history import EpochRecord, Progress
from slipway.training.optim import Optimizer, learning_rate
from slipway.training.recipe import TrainConfig

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
EVAL_BATCH = 256
_ORDER, _AUGMENT, _DROPOUT = range(3)
"""Streams of random numbers; each is a function of (seed, epoch, step, stream) alone, so a resumed run draws the same."""


@dataclass(slots=True)
class State:
    """Where training stands after an epoch; all of it goes to the checkpoint."""

    epoch: int = 0
    """Epochs done."""
    best_epoch: int = 0
    history: list[EpochRecord] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    """The best epoch's weights, on the CPU."""


class Keeper(Protocol):
    """Where states go, so that a killed run can go on."""

    def save(self, state: State, model: nn.Module, optim: Optimizer, scaler: Any) -> None:
        """Keep the state of a finished epoch; complete or not at all."""
        ...

    def load(self, model: nn.Module, optim: Optimizer, scaler: Any) -> State | None:
        """Put the last kept state into model, optimizer and scaler; None when there is none."""
        ...


def fit(
    model: nn.Module,
    train: Batches,
    validation: Batches,
    config: TrainConfig,
    *,
    keeper: Keeper | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
) -> State:
    """Train `model` in place and return the state after the last epoch.

    Args:
        config: resolved; its device is where `model` and the batches are.
        keeper: keeps each epoch's state and gives back a killed run's.
        on_epoch: called after every epoch that this process trained, before its state is kept.
    Raises: ConfigError: more items in a batch than there are, or the loss is no longer a number.
    """
    if config.batch_size > len(train.labels_N):
        raise ConfigError(
            f"batch_size: {config.batch_size} is more than the {len(train.labels_N)} training items; set at most that"
        )
    optim = Optimizer(model, config)
    scaler = torch.amp.GradScaler(config.device, enabled=config.precision == "fp16")
    state = (keeper.load(model, optim, scaler) if keeper else None) or State()
    progress = Progress(config.epochs, len(train.labels_N), resumed_at=state.epoch)
    while state.epoch < config.epochs:
        epoch = state.epoch + 1
        started = time.perf_counter()
        loss, accuracy, rate = _train_epoch(model, train, config, optim, scaler, epoch, progress)
        train_s = time.perf_counter() - started
        val_loss, val_accuracy = evaluate(model, validation)
        if not isfinite(val_loss):
            raise ConfigError(_diverged("validation loss", val_loss, f"epoch {epoch}", config))
        record = EpochRecord(
            epoch=epoch,
            train_loss=loss,
            train_accuracy=accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            learning_rate=rate,
            seconds=time.perf_counter() - started,
            items_per_s=len(train.labels_N) / train_s,
        )
        state.epoch = epoch
        state.history.append(record)
        if _is_best(state.history, config.select_by):
            state.best_epoch = epoch
            state.best = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
        progress.epoch(record, best=state.best_epoch == epoch)
        if on_epoch:
            on_epoch(record)
        if keeper:
            keeper.save(state, model, optim, scaler)
    return state


def evaluate(model: nn.Module, batches: Batches) -> tuple[float, float]:
    """Log loss in nats and accuracy, in fp32 whatever the training precision: that is what will be served."""
    probabilities, labels = [], []
    model.eval()
    with torch.inference_mode():
        for positions_B in batches.plan(EVAL_BATCH, None):
            logits_BK = model(*batches.inputs(positions_B, None))
            probabilities.append(torch.softmax(logits_BK.double(), dim=1).cpu().numpy())
            labels.append(batches.labels_N[positions_B])
    labels_N, probabilities_NK = np.concatenate(labels), np.concatenate(probabilities)
    return metrics.log_loss(labels_N, probabilities_NK), metrics.accuracy(labels_N, probabilities_NK.argmax(axis=1))


def _train_epoch(
    model: nn.Module,
    batches: Batches,
    config: TrainConfig,
    optim: Optimizer,
    scaler: Any,
    epoch: int,
    progress: Progress,
) -> tuple[float, float, float]:
    """Mean loss and accuracy over the epoch's items, and the last step's learning rate."""
    model.train()
    plan = batches.plan(config.batch_size, _generator(config.seed, epoch, 0, _ORDER))
    total_loss, right, rate = 0.0, torch.zeros((), dtype=torch.int64, device=config.device), 0.0
    for i, positions_B in enumerate(plan):
        inputs = batches.inputs(positions_B, _generator(config.seed, epoch, i, _AUGMENT))
        labels_B = torch.from_numpy(batches.labels_N[positions_B]).to(config.device)
        torch.manual_seed(int(_generator(config.seed, epoch, i, _DROPOUT).integers(2**63)))
        rate = learning_rate(config, (epoch - 1) * len(plan) + i, config.epochs * len(plan))
        with torch.autocast(config.device, DTYPES[config.precision], enabled=config.precision != "fp32"):
            logits_BK = model(*inputs).float()
        loss = nn.functional.cross_entropy(logits_BK, labels_B, label_smoothing=config.label_smoothing)
        value = loss.item()  # waits for the device; the price of stopping at once
        if not isfinite(value):
            raise ConfigError(_diverged("loss", value, f"epoch {epoch}, step {i + 1} of {len(plan)}", config))
        optim.zero_grad()
        scaler.scale(loss).backward()
        if config.clip_norm:
            scaler.unscale_(optim)
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        scaler.step(optim, rate)
        scaler.update()
        total_loss += value * len(positions_B)
        right += (logits_BK.detach().argmax(dim=1) == labels_B).sum()
        progress.step(epoch, i + 1, len(plan), value)
    return total_loss / len(batches.labels_N), right.item() / len(batches.labels_N), rate


def _diverged(what: str, value: float, where: str, config: TrainConfig) -> str:
    return (
        f"training: the {what} became {value} in {where}; "
        f"lower learning_rate (now {config.learning_rate:g}) or use another precision than {config.precision}"
    )


def _generator(seed: int, epoch: int, step: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, epoch, step, stream])


def _is_best(history: list[EpochRecord], criterion: str) -> bool:
    """Whether the last epoch is strictly better on validation than all before it."""

    def score(record: EpochRecord) -> float:
        return record.val_accuracy if criterion == "accuracy" else -record.val_loss

    return all(score(history[-1]) > score(record) for record in history[:-1])
