"""A sample of the answers, for drift detection: statistics of what was asked, never the payload, nor a hash of it.

A line of JSON an item: time, model, version, digest of the bundle, request, item (its place in the request), label,
confidence, entropy (nats), and those of `statistics.of_items`. `confidence`, `brightness` and `length` are the quantities
whose histograms are in the bundle's reference.npz.

Requests only put their items into a queue. One thread measures and writes them. What does not fit is dropped and counted.
"""

# N items, K classes

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue

import numpy as np
import orjson
from numpy.typing import NDArray

from slipway.bundle import Bundle
from slipway.errors import ConfigError, SlipwayError
from slipway.monitor import statistics
from slipway.monitor.batches import Batches
from slipway.preprocess import Raw

log = logging.getLogger("slipway.server")
MAX_HELD_BYTES = 64 * 1024 * 1024
"""Of the payloads that are not yet measured."""
RETRY_S = 10.0
CLOSE_S = 5.0
"""What is held when the server stops may take so long to be written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictionLogConfig:
    """Which answers are logged, and where."""

    target: str = ""
    """`-`: stdout, as JSON lines; else the directory or URI of a store. Empty: nowhere."""
    sample: float = 0.0
    """Share of the requests, 0 to 1; 0 turns the log off."""
    max_lines: int = 1000
    """Of an object in the store, >= 1."""
    max_age_s: float = 60.0
    """After so long a line is written even if it is alone."""
    max_held: int = 10_000
    """Items that were sampled and are not yet written; what is above that is dropped."""

    def __post_init__(self) -> None:
        if not 0 <= self.sample <= 1:
            raise ConfigError(f"prediction sample: must be 0 to 1, the share of requests that are logged, got {self.sample}")
        if self.sample and not self.target:
            raise ConfigError(
                f"prediction sample: {self.sample:g}, but no prediction log; give --prediction-log a store, or '-' for stdout"
            )


OFF = PredictionLogConfig()


@dataclass(frozen=True, slots=True)
class _Answer:
    """A request's, as it waits in the queue."""

    when: datetime
    model: str
    version: str
    request_id: str
    bundle: Bundle
    items: Sequence[Raw]
    labels: Sequence[str]
    probabilities_NK: NDArray[np.float32]
    num_bytes: int


class PredictionLog:
    """Safe to use from several threads; writes between `start` and `close`."""

    def __init__(self, config: PredictionLogConfig, *, dropped: Callable[[int], object], process: str = "") -> None:
        """
        Args:
            dropped: told the number of items that were sampled and will not be written.
            process: seeds the sampling and names the objects; a random one by default.
        Raises: ConfigError: the target is no store.
        """
        process = process or secrets.token_hex(4)
        self._config, self._random, self._dropped = config, random.Random(process), dropped
        self._queue: SimpleQueue[_Answer | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._held_items = self._held_bytes = 0
        self._thread = threading.Thread(target=self._write_all, name="prediction-log", daemon=True)
        if config.sample:
            self._batches = Batches(
                config.target,
                process,
                max_lines=config.max_lines,
                max_age_s=config.max_age_s,
                written=self._release,
            )
        elif config.target:
            log.warning("prediction log is off: its sample is 0", extra={"target": config.target})

    def observe(
        self,
        bundle: Bundle,
        items: Sequence[Raw],
        labels: Sequence[str],
        probabilities_NK: NDArray[np.float32],
        *,
        model: str,
        version: str,
        request_id: str = "",
    ) -> None:
        """An answer, which is logged or not; never waits. `model`, `version`: as it is served."""
        if self._random.random() >= self._config.sample:
            return
        num_bytes = sum(item.nbytes if isinstance(item, np.ndarray) else len(item) for item in items)
        with self._lock:
            held, held_bytes = self._held_items + len(items), self._held_bytes + num_bytes
            if fits := held <= self._config.max_held and held_bytes <= MAX_HELD_BYTES:
                self._held_items, self._held_bytes = held, held_bytes
        if not fits:
            self._dropped(len(items))
            return
        when = datetime.now(UTC)
        self._queue.put(_Answer(when, model, version, request_id, bundle, items, labels, probabilities_NK, num_bytes))

    def start(self) -> None:
        """Begin to write: not before whatever else stdout must show first."""
        if self._config.sample:
            self._thread.start()

    def close(self) -> None:
        """Write what is held, within CLOSE_S; the rest is dropped and counted."""
        if not self._thread.is_alive():
            return
        self._queue.put(None)
        self._thread.join(CLOSE_S)
        if self._held_items:
            self._dropped(self._held_items)
            log.warning("prediction log ends without its last lines", extra={"lines": self._held_items})

    def _write_all(self) -> None:
        """The thread."""
        stopping, retry_at = False, 0.0
        try:
            while not stopping:
                due = self._batches.due
                try:
                    answer = self._queue.get(timeout=None if due is None else max(0.0, max(due, retry_at) - time.monotonic()))
                except Empty:
                    pass
                else:
                    stopping = answer is None
                    if answer is not None:
                        self._add(answer)
                if not stopping and time.monotonic() < retry_at:
                    continue
                try:
                    self._batches.write(everything=stopping)
                    retry_at = 0.0
                except (SlipwayError, OSError) as exc:
                    if not retry_at:
                        log.warning("prediction log cannot be written, is kept and tried again", extra={"reason": str(exc)})
                    retry_at = time.monotonic() + RETRY_S
        except Exception as exc:  # noqa: BLE001  the edge of a thread; a traceback might show a payload
            log.error("prediction log stopped", extra={"reason": type(exc).__name__})

    def _add(self, answer: _Answer) -> None:
        for line in _lines(answer):
            self._batches.add(answer.model, answer.when, line)
        with self._lock:
            self._held_bytes -= answer.num_bytes

    def _release(self, num_lines: int) -> None:
        with self._lock:
            self._held_items -= num_lines


def _lines(answer: _Answer) -> Iterator[bytes]:
    p_NK = answer.probabilities_NK.astype(np.float64)
    entropy_N = -(p_NK * np.log(np.maximum(p_NK, np.finfo(np.float64).tiny))).sum(axis=1)
    known = {
        "time": answer.when.isoformat(timespec="milliseconds"),
        "model": answer.model,
        "version": answer.version,
        "bundle": answer.bundle.digest,
        **({"request": answer.request_id} if answer.request_id else {}),
    }
    columns = zip(answer.labels, p_NK.max(axis=1).tolist(), entropy_N.tolist(), strict=True)
    measured = statistics.of_items(answer.items, answer.bundle.preprocess)
    for i, ((label, confidence, entropy), numbers) in enumerate(zip(columns, measured, strict=True)):
        line = {**known, "item": i, "label": label, "confidence": confidence, "entropy": entropy, **numbers}
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
