"""The loop: phases of epochs of steps over batches, validation after each epoch, the best kept. What varies is passed in."""

# B batch, K classes, N items

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slipway import metrics
from slipway.errors import ConfigError
from slipway.models.groups import layer_groups
from slipway.training import phases, schedule
from slipway.training.batches import Batches
from slipway.training.distributed import ALONE, Workers
from slipway.training.ema import Average
from slipway.training.history import EpochRecord, Progress
from slipway.training.objective import Objective
from slipway.training.optim import Optimizer, parameter_groups
from slipway.training.recipe import TrainConfig
from slipway.training.sparse import Zeros

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
EVAL_BATCH = 256
KEEP_EVERY_S = 300.0
"""Within an epoch the state is kept about this often: so much work a kill costs at most."""
_ORDER, _AUGMENT, _DROPOUT = range(3)
"""Streams of random numbers; each is a function of (seed, epoch, step, stream, rank) alone: a resumed run draws the same."""


@dataclass(slots=True)
class State:
    """Where training stands; all of it goes to the checkpoint."""

    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Steps done of the epoch under way."""
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Of the epoch under way: losses, right answers, seconds."""
    best_epoch: int = 0
    history: list[EpochRecord] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    """The best epoch's weights, on the CPU."""

    def scores(self, criterion: str) -> list[float]:
        """What validation said of each epoch by the criterion; higher is better."""
        return [r.val_accuracy if criterion == "accuracy" else -r.val_loss for r in self.history]


@dataclass(slots=True)
class Parts:
    """What a phase changes, step by step."""

    model: nn.Module
    optim: Optimizer
    scaler: Any
    average: Average | None
    zeros: Zeros | None

    def state_dicts(self) -> dict[str, Mapping[str, Tensor]]:
        """Tensors by part and name."""
        average = {"ema": self.average.state_dict()} if self.average else {}
        return {"model": self.model.state_dict(), "optim": self.optim.state_dict(), **average}


class Kept(Protocol):
    """A state that was kept."""

    state: State

    def restore(self, parts: Parts, *, optimizer: bool) -> None:
        """Put weights and average, and with `optimizer` its state too, where they belong."""
        ...


class Keeper(Protocol):
    """Where states go, so that a killed run can go on."""

    def save(self, state: State, parts: Parts) -> None:
        """Keep a state; complete or not at all."""
        ...

    def load(self) -> Kept | None:
        """The state kept last; None when there is none."""
        ...


def fit(
    model: nn.Module,
    train: Batches,
    validation: Batches,
    config: TrainConfig,
    *,
    num_classes: int,
    soft_NK: NDArray[np.float32] | None = None,
    keeper: Keeper | None = None,
    on_epoch: Callable[[EpochRecord], None] | None = None,
    workers: Workers = ALONE,
) -> State:
    """Train `model` in place and return the state after the last epoch.

    Args:
        config: resolved; its device is where `model` and the batches are.
        soft_NK: a teacher's probability of each training item, for distillation.
        keeper: keeps each epoch's state, and long epochs' between, and gives back a killed run's.
        on_epoch: called after every epoch that this process trained, before its state is kept.
        workers: the processes that share the batches; all call this alike.
    Raises: ConfigError: more items in a batch than there are, the loss is no longer a number, or memory does not suffice.
    """
    if config.batch_size > len(train.labels_N):
        raise ConfigError(
            f"batch_size: {config.batch_size} is more than the {len(train.labels_N)} training items; set at most that"
        )
    objective = Objective(train.labels_N, num_classes, config, soft_NK=soft_NK)
    run = _Run(model, train, validation, config, objective, keeper, on_epoch, workers)
    try:
        return run.train()
    except (RuntimeError, MemoryError) as exc:
        if not isinstance(exc, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(exc):
            raise
        raise ConfigError(
            f"training: out of memory on {config.device} with batch_size {config.batch_size} in {config.accumulate} part(s); "
            f"set accumulate={2 * config.accumulate} (the same steps in smaller parts) or batch_size={config.batch_size // 2}"
        ) from exc


def evaluate(model: nn.Module, batches: Batches) -> tuple[float, float]:
    """Log loss in nats and accuracy, in fp32 whatever the training precision: that is what will be served."""
    probabilities, labels = [], []
    model.eval()
    with torch.inference_mode():
        for positions_B in batches.plan(EVAL_BATCH, None):
            logits_BK = model(*batches.inputs(positions_B, None, 0))
            probabilities.append(torch.softmax(logits_BK.double(), dim=1).cpu().numpy())
            labels.append(batches.labels_N[positions_B])
    labels_N, probabilities_NK = np.concatenate(labels), np.concatenate(probabilities)
    return metrics.log_loss(labels_N, probabilities_NK), metrics.accuracy(labels_N, probabilities_NK.argmax(axis=1))


@dataclass(slots=True)
class _Run:
    model: nn.Module
    batches: Batches
    validation: Batches
    config: TrainConfig
    objective: Objective
    keeper: Keeper | None
    on_epoch: Callable[[EpochRecord], None] | None
    workers: Workers
    state: State = field(default_factory=State)
    kept_s: float = 0.0
    """When the state was kept last."""

    def train(self) -> State:
        groups = layer_groups(self.model)
        plan = phases.plan(self.config, len(groups))
        zeros = Zeros(self.model, self.config.sparsity) if self.config.sparsity else None
        average = Average(self.model, self.config.ema) if self.config.ema else None
        kept = self.keeper.load() if self.keeper else None
        self.state = state = kept.state if kept else State()
        progress = Progress(self.config.epochs, len(self.batches.labels_N), resumed_at=state.epoch)
        while state.epoch < self.config.epochs and not self._stops():
            phase = phases.phase_of(plan, state.epoch + 1)
            phases.freeze(self.model, groups, phase.groups)
            scaler = torch.amp.GradScaler(self.config.device, enabled=self.config.precision == "fp16")
            parts = Parts(self.model, Optimizer(parameter_groups(groups, self.config), self.config), scaler, average, zeros)
            if kept:
                kept.restore(parts, optimizer=phase.first <= state.epoch or state.step > 0)  # else it was the phase before
                kept = None
            compiled: Any = torch.compile(self.model) if self.config.compile else self.model
            forward = self.workers.wrap(compiled)
            self.kept_s = time.monotonic()
            while state.epoch < phase.last and not self._stops():
                phases.train_mode(self.model, groups, phase.groups)
                rate = self._epoch(parts, forward, phase, progress)
                self._validate(parts, rate, progress)
        return state

    def _stops(self) -> bool:
        return schedule.stop_early(self.state.scores(self.config.select_by), self.config.patience)

    def _epoch(self, parts: Parts, forward: nn.Module, phase: phases.Phase, progress: Progress) -> float:
        """Steps of one epoch, from where it stands; returns the last step's learning rate."""
        config, state, epoch = self.config, self.state, self.state.epoch + 1
        plan = self.batches.plan(config.batch_size, _generator(config.seed, epoch, 0, _ORDER))
        trained = [p for p in self.model.parameters() if p.requires_grad]
        scores = state.scores(config.select_by)[phase.first - 1 :]
        drops = schedule.plateau_drops(scores, config.patience) if config.schedule == "plateau" else 0
        sums = torch.tensor(state.sums[:2], dtype=torch.float64, device=config.device)
        before_s, started, rate, last = state.sums[2], time.perf_counter(), 0.0, None
        for i in range(state.step, len(plan)):
            at = (epoch - phase.first) * len(plan) + i
            rate, momentum = schedule.rate_at(config, at, phase.epochs * len(plan), drops=drops)
            loss = self._gradients(parts, forward, plan[i], epoch, i, sums)
            if config.clip_norm:
                parts.scaler.unscale_(parts.optim)
                nn.utils.clip_grad_norm_(trained, config.clip_norm)
            parts.scaler.step(parts.optim, rate, momentum=momentum)
            parts.scaler.update()
            if parts.zeros:
                parts.zeros.keep()
            if parts.average:
                parts.average.update(self.model)
            if last is not None:  # of the step before: this one keeps the device busy meanwhile
                self._check(last, epoch, i, len(plan), progress)
            last = loss
            if self.keeper and self.workers.rank == 0 and time.monotonic() - self.kept_s > KEEP_EVERY_S and i + 1 < len(plan):
                self._check(last, epoch, i + 1, len(plan), progress)
                last = None
                state.step, state.sums = i + 1, [*sums.tolist(), before_s + time.perf_counter() - started]
                self.keeper.save(state, parts)
                self.kept_s = time.monotonic()
        if last is not None:
            self._check(last, epoch, len(plan), len(plan), progress)
        state.sums = [*self.workers.total(sums.tolist()), before_s + time.perf_counter() - started]
        return rate

    def _gradients(
        self, parts: Parts, forward: nn.Module, positions_B: NDArray[np.int64], epoch: int, step: int, sums: Tensor
    ) -> Tensor:
        """Gradients of one step's mean loss, over all workers and parts; returns this process's share of the loss."""
        config, rank = self.config, self.workers.rank
        mine = self.workers.share(positions_B)
        rng = _generator(config.seed, epoch, step, _AUGMENT, rank)
        torch.manual_seed(int(_generator(config.seed, epoch, step, _DROPOUT, rank).integers(2**63)))
        parts.optim.zero_grad()
        total = torch.zeros((), device=config.device)
        chunks = [mine] if config.accumulate == 1 else np.array_split(mine, min(config.accumulate, len(mine)))
        for k, chunk in enumerate(chunks):
            labels_B, soft_BK = self.objective.targets(chunk)
            inputs, targets, soft_BK = self.objective.mixed(self.batches.inputs(chunk, rng, epoch), labels_B, soft_BK, rng)
            together = k == len(chunks) - 1 or self.workers.size == 1
            with nullcontext() if together else forward.no_sync():  # type: ignore[operator]
                with torch.autocast(config.device, DTYPES[config.precision], enabled=config.precision != "fp32"):
                    logits_BK = forward(*inputs).float()
                loss = self.objective.total(logits_BK, targets, soft_BK) / len(positions_B)
                parts.scaler.scale(loss * self.workers.size).backward()  # times size: DDP takes the mean over processes
            total += loss.detach()
            sums[1] += (logits_BK.detach().argmax(dim=1) == labels_B).sum()
        sums[0] += total.double() * len(positions_B)
        return total

    def _check(self, loss: Tensor, epoch: int, step: int, steps: int, progress: Progress) -> None:
        """Stop on a loss that is no number; else tell of the step."""
        value = loss.item() * self.workers.size
        if not isfinite(value):
            raise ConfigError(self._diverged("loss", value, f"epoch {epoch}, step {step} of {steps}"))
        if self.workers.rank == 0:
            progress.step(epoch, step, steps, value)

    def _validate(self, parts: Parts, rate: float, progress: Progress) -> None:
        """Close the epoch: validation by the first worker, the record, the best weights, the kept state."""
        state, config, count = self.state, self.config, len(self.batches.labels_N)
        started = time.perf_counter()
        with parts.average.swapped(self.model) if parts.average else nullcontext():
            found = evaluate(self.model, self.validation) if self.workers.rank == 0 else (0.0, 0.0)
            val_loss, val_accuracy = self.workers.total(found)
            if not isfinite(val_loss):
                raise ConfigError(self._diverged("validation loss", val_loss, f"epoch {state.epoch + 1}"))
            loss, right, train_s = state.sums
            record = EpochRecord(
                epoch=state.epoch + 1,
                train_loss=loss / count,
                train_accuracy=right / count,
                val_loss=val_loss,
                val_accuracy=val_accuracy,
                learning_rate=rate,
                seconds=train_s + time.perf_counter() - started,
                items_per_s=count / train_s,
            )
            state.epoch, state.step, state.sums = record.epoch, 0, [0.0, 0.0, 0.0]
            state.history.append(record)
            *earlier, latest = state.scores(config.select_by)
            if best := all(latest > score for score in earlier):
                state.best_epoch = record.epoch
                layout = torch.contiguous_format
                state.best = {n: t.detach().cpu().clone(memory_format=layout) for n, t in self.model.state_dict().items()}
        if self.workers.rank:
            return
        progress.epoch(record, best=best)
        if self.on_epoch:
            self.on_epoch(record)
        if self.keeper:
            self.keeper.save(state, parts)
            self.kept_s = time.monotonic()

    def _diverged(self, what: str, value: float, where: str) -> str:
        kept = f"the last good state is that of epoch {self.state.epoch}" if self.state.epoch else "no epoch had ended"
        return (
            f"training: the {what} became {value} in {where}; {kept}; lower learning_rate (now {self.config.learning_rate:g}) "
            f"or use another precision than {self.config.precision}"
        )


def _generator(seed: int, epoch: int, step: int, stream: int, rank: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, epoch, step, stream, rank])
