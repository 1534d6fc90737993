"""What training tells: a record per epoch, progress lines on stderr, and the learning curves as a picture."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slipway.data.progress import to_stderr

LINE_EVERY_S = 10.0
"""Within an epoch a line at most this often."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochRecord:
    """One epoch in numbers."""

    epoch: int
    """From 1."""
    train_loss: float
    """Mean over the epoch's items, in nats, with label smoothing."""
    train_accuracy: float
    """In training mode: with augmentation and dropout, while the weights still move."""
    val_loss: float
    """Log loss in nats."""
    val_accuracy: float
    learning_rate: float
    """Of the epoch's last step."""
    seconds: float
    """With validation."""
    items_per_s: float
    """Training items per second, without validation."""


class Progress:
    """Lines on stderr: epoch, loss, accuracy, items/s, time left."""

    def __init__(self, epochs: int, items: int, *, resumed_at: int = 0) -> None:
        self._epochs, self._items = epochs, items
        self._started_s = self._last_s = time.monotonic()
        self._done = resumed_at
        self._first = resumed_at
        if resumed_at:
            to_stderr(f"continuing after epoch {resumed_at} of {epochs}")

    def step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """Tell of a step, when the last line is old."""
        now = time.monotonic()
        if now - self._last_s >= LINE_EVERY_S:
            self._last_s = now
            done = epoch - 1 - self._first + step / steps
            rate = done * self._items / (now - self._started_s)
            left = (self._epochs - self._first - done) * (now - self._started_s) / done
            to_stderr(
                f"epoch {epoch}/{self._epochs}  step {step}/{steps}  loss {loss:.4f}  {rate:.0f} items/s  {_time(left)} left"
            )

    def epoch(self, record: EpochRecord, *, best: bool) -> None:
        """Tell of a finished epoch; `*` marks the best so far."""
        self._last_s = time.monotonic()
        self._done = record.epoch
        left = (self._epochs - self._done) * (self._last_s - self._started_s) / (self._done - self._first)
        to_stderr(
            f"epoch {record.epoch}/{self._epochs}  loss {record.train_loss:.4f}  val loss {record.val_loss:.4f}  "
            f"val accuracy {record.val_accuracy:.4f}{'*' if best else ' '}  {record.items_per_s:.0f} items/s  "
            f"{_time(left)} left"
        )


def draw(history: Sequence[EpochRecord], best_epoch: int, path: Path) -> None:
    """Loss and accuracy over the epochs as a PNG; equal histories give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [record.epoch for record in history]
    for axes, name, title in zip(figure.subplots(1, 2), ("loss", "accuracy"), ("log loss (nats)", "accuracy"), strict=True):
        axes.plot(epochs, [getattr(r, f"train_{name}") for r in history], "o-", markersize=3, label="training")
        axes.plot(epochs, [getattr(r, f"val_{name}") for r in history], "o-", markersize=3, label="validation")
        axes.axvline(best_epoch, color="0.6", linestyle=":", label=f"best: epoch {best_epoch}")
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
