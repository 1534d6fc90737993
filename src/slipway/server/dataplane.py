"""The one way of a request, whatever the transport: a place, a worker thread, an answer or a reason; counted and timed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from slipway.monitor.metrics import Metrics
from slipway.protocol.rest import InferAnswer, InferRequest
from slipway.server.call import Call
from slipway.server.models import ServedModel
from slipway.server.plan import MAX_BATCH
from slipway.server.refusal import Reason, RefusedError, reason_of
from slipway.server.repository import Repository
from slipway.server.scheduler import Scheduler

log = logging.getLogger("slipway.server")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one process takes on."""

    max_requests: int = 256
    """Accepted and not yet answered; one more is refused with 503."""
    max_body_bytes: int = 64 * 1024 * 1024
    """Of one request."""
    max_held_bytes: int = 1024 * 1024 * 1024
    """Of the bodies of all requests not yet answered."""
    body_timeout_s: float = 60.0
    """A client may take to send a body once its headers are here."""


class DataPlane:
    """Over the models of a repository."""

    def __init__(
        self,
        repository: Repository,
        scheduler: Scheduler,
        *,
        metrics: Metrics,
        limits: Limits,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        """`draining`: true once the server is stopping; nothing is ready from then on."""
        self.repository, self.metrics, self.limits, self.draining = repository, metrics, limits, draining
        self._scheduler = scheduler
        # as many as wait for a batch to form, beside those that compute: all that takes time is done by them
        self._workers = ThreadPoolExecutor(scheduler.threads + MAX_BATCH, thread_name_prefix="predict")
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._places, self._held_bytes, self._seconds = 0, 0, 0.01
        metrics.queue_depth.set_function(lambda: max(0, self._places - scheduler.threads))

    def close(self) -> None:
        """Forget what has not begun."""
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._loader.shutdown(wait=False, cancel_futures=True)

    @property
    def ready(self) -> bool:
        """Whether every model is, and the server is not stopping."""
        return not self.draining() and self.repository.ready

    def model_ready(self, model: ServedModel) -> bool:
        """The same for one."""
        return model.ready and not self.draining()

    def metadata(self, name: str, version: str = "") -> dict[str, Any]:
        """The protocol's, of a model that is ready; its versions are all that may be asked. Raises: as `Repository.loaded`."""
        return {**self.repository.loaded(name, version).metadata(), "versions": self.repository.versions(name)}

    @asynccontextmanager
    async def place(self, call: Call) -> AsyncIterator[None]:
        """A request from its acceptance to its answer. Raises: RefusedError: there is no place left."""
        labels = call.labels
        in_flight = self.metrics.in_flight.labels(*labels)
        self._places += 1
        in_flight.inc()
        status = 200
        try:
            if self._places > self.limits.max_requests:
                raise self._overloaded(f"{self.limits.max_requests} requests are waiting")
            yield
        except BaseException as exc:
            reason = Reason.GONE if isinstance(exc, asyncio.CancelledError) else reason_of(exc)
            status = reason.http
            if reason is Reason.INTERNAL:  # the process edge of a request: the client gets a line, the log the traceback
                log.exception("internal error", extra={"model": call.labels[0], "request": call.request_id})
            raise
        finally:
            self._places -= 1
            in_flight.dec()
            seconds = time.perf_counter() - call.started
            self.metrics.observe_request(*call.labels, call.protocol, status, seconds)
            log.debug("infer", extra={"model": call.labels[0], "status": status, "request": call.request_id})

    @contextlib.contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """A function to call with the bytes that came in; what is held counts until the block ends."""
        held = 0

        def more(num_bytes: int) -> None:
            nonlocal held
            held += num_bytes
            self._held_bytes += num_bytes
            if self._held_bytes > self.limits.max_held_bytes:
                raise self._overloaded(f"{self._held_bytes // 2**20} MB of requests are waiting")

        try:
            yield more
        finally:
            self._held_bytes -= held

    async def compute(self, call: Call, work: Callable[[], T]) -> T:
        """What `work` returns, done in a worker thread; a caller that is cancelled is left alone between two phases.

        Raises: RefusedError: the deadline was missed. Else what `work` raises.
        """
        call.submitted = time.perf_counter()
        try:
            async with asyncio.timeout(call.left_s):
                return await asyncio.get_running_loop().run_in_executor(self._workers, self._work, call, work)
        except TimeoutError:
            raise call.too_late() from None
        finally:
            call.given_up = True

    async def load(self, work: Callable[[], T]) -> T:
        """What `work` returns, done in the one thread that loads models."""
        return await asyncio.get_running_loop().run_in_executor(self._loader, work)

    def infer(self, call: Call, model: ServedModel, request: InferRequest) -> InferAnswer:
        """The answer to a v2 request, in a worker thread. Raises: as `ServedModel.infer`."""
        outputs = model.infer(request, call)
        return InferAnswer(model=model.name, version=model.version, outputs=outputs, id=request.id)

    def _work(self, call: Call, work: Callable[[], T]) -> T:
        call.check()
        found = work()
        self._observe(call)
        return found

    def _observe(self, call: Call) -> None:
        """Count an answer: its phases, classes and confidences."""
        name, version = call.labels
        for phase, seconds in call.phases.items():
            self.metrics.observe_phase(name, version, phase, seconds)
        if call.answered is not None:
            labels, probabilities_NK = call.answered
            self.metrics.observe_answers(name, version, labels, probabilities_NK.max(axis=1).tolist())
        self._seconds += 0.05 * (sum(call.phases.values()) - call.phases.get("queue", 0.0) - self._seconds)

    def _overloaded(self, what: str) -> RefusedError:
        """503, and when to come back: once what waits will have been answered, by the pace of late."""
        wait_s = self._places * self._seconds / self._scheduler.threads
        return RefusedError(
            Reason.OVERLOADED, f"overloaded: {what}; try again later", retry_after_s=max(1, min(30, round(wait_s)))
        )
