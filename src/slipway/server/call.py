"""One request that a model answers, as far as it is known: whose, how long it may take, what its phases took."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from slipway.monitor.metrics import UNKNOWN
from slipway.server.refusal import Reason, RefusedError

if TYPE_CHECKING:
    from slipway.bundle import Bundle
    from slipway.preprocess import Raw
    from slipway.server.models import ServedModel


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model said of which items."""

    bundle: "Bundle"
    items: Sequence["Raw"]
    labels: Sequence[str]
    probabilities_NK: NDArray[np.float32]


class Call:
    """See the module. Times are `time.perf_counter`'s."""

    def __init__(
        self,
        protocol: str,
        model: "ServedModel | None" = None,
        *,
        request_id: str = "",
        timeout_s: float | None = None,
        num_bytes: int = 0,
    ) -> None:
        """
        Args:
            protocol: of the metrics.
            model: None as long as nobody knows which.
            request_id: the client's or the server's own, for the log.
            timeout_s: from now, > 0; None: the client waits as long as it takes.
            num_bytes: that it came in; 0: they come later.
        """
        self.protocol, self.model, self.request_id, self.timeout_s = protocol, model, request_id, timeout_s
        self.num_bytes = num_bytes
        self.started = self.submitted = time.perf_counter()
        self.given_up = False
        """Nobody waits for the answer any more."""
        self.phases: dict[str, float] = {}
        self.answered: Answered | None = None
        """Of a model that classifies."""

    @property
    def labels(self) -> tuple[str, str]:
        """Name and version of the model, for the metrics."""
        return (self.model.name, self.model.version) if self.model is not None else (UNKNOWN, "")

    @property
    def left_s(self) -> float | None:
        """Seconds until the deadline, if there is one."""
        return None if self.timeout_s is None else self.started + self.timeout_s - time.perf_counter()

    def check(self) -> None:
        """Between phases: is it worth going on? Raises: RefusedError: nobody waits any more, or the deadline is over."""
        if self.given_up:
            raise RefusedError(Reason.GONE, "the client went away")
        if self.left_s is not None and self.left_s < 0:
            raise self.too_late()

    def too_late(self) -> RefusedError:
        """The error of a missed deadline."""
        return RefusedError(Reason.DEADLINE, f"not answered within the {self.timeout_s:.3g} s that the request allows")

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add what the block takes to a phase; what lies between submission and the first one is `queue`."""
        began = time.perf_counter()
        if not self.phases:
            self.phases = {"queue": began - self.submitted, "preprocess": 0.0, "model": 0.0}
        yield
        self.add(phase, time.perf_counter() - began)

    def add(self, phase: str, seconds: float) -> None:
        """Add seconds to a phase. Raises: see `check`."""
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds
        self.check()
