"""Epoch metrics to MLflow in batches, without letting a tracking server stop a training run."""

import sys
import time
from dataclasses import asdict
from typing import Any, Self

from slipway.errors import TrackingError
from slipway.tracking.runs import Run

FLUSH_S = 5.0
"""At most this much history waits; one call of a remote server costs 10 to 20 ms, so short epochs share one."""


class EpochLog:
    """Observer of training: call it with an epoch's record; leaving the block sends what waits.

    A server that does not answer costs a warning: epochs stay and are sent with the next batch.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiting: list[dict[str, Any]] = []
        self._last_s = time.monotonic()

    def __call__(self, epoch: Any) -> None:
        """`epoch`: a `training.loop.EpochRecord` or any dataclass of numbers with a field `epoch`."""
        self._waiting.append(asdict(epoch))
        if time.monotonic() - self._last_s >= FLUSH_S:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()

    def _flush(self) -> None:
        self._last_s = time.monotonic()
        try:
            if self._waiting:
                self._run.log_history(self._waiting)
                self._waiting = []
        except TrackingError as exc:
            print(f"warning: epochs are not in MLflow yet: {exc}", file=sys.stderr)  # noqa: T201
