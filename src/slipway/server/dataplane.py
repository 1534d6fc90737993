"""The one way of a request, whatever the transport: accepted, a worker thread, an answer or a reason; counted and timed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from slipway.errors import NotFoundError
from slipway.monitor.metrics import Metrics
from slipway.monitor.prediction_log import PredictionLog
from slipway.protocol.rest import InferAnswer, InferRequest
from slipway.server.call import Call
from slipway.server.models import ServedModel
from slipway.server.refusal import Reason, RefusedError, reason_of
from slipway.server.repository import Repository
from slipway.server.scheduler import Scheduler

log = logging.getLogger("slipway.server")
T = TypeVar("T")
WATCH_AFTER_S = 0.05
"""A request that waits longer is given up when its client goes away; watching takes a task of its own."""


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
        predictions: PredictionLog,
        limits: Limits,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        """`draining`: true once the server is stopping; nothing is ready from then on."""
        self.repository, self.metrics, self.limits, self.draining = repository, metrics, limits, draining
        self._scheduler, self._predictions = scheduler, predictions
        self._pools = [(scheduler.threads + 1, ThreadPoolExecutor(scheduler.threads + 1, thread_name_prefix="predict"))]
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._accepted, self._held_bytes, self._seconds = 0, 0, 0.01
        metrics.queue_depth.set_function(lambda: max(0, self._accepted - scheduler.threads))

    def make_room(self, model: ServedModel) -> None:
        """Before a model's requests come: as many workers as compute, and as many as can wait in a batch; with more, decoding
        takes the cores from computing. Those before end what they have begun, and then idle.
        """
        wanted = self._scheduler.threads + model.max_batch
        if wanted > self._pools[-1][0]:
            self._pools.append((wanted, ThreadPoolExecutor(wanted, thread_name_prefix="predict")))

    def close(self) -> None:
        """Forget what has not begun."""
        for pool in (*(pool for _, pool in self._pools), self._loader):
            pool.shutdown(wait=False, cancel_futures=True)

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
    async def accepted(self, call: Call, name: str | None = None, version: str = "") -> AsyncIterator[None]:
        """A request from its acceptance to its answer; sets the call's model.

        Args:
            name: of a model; None: the request's body says which.
        Raises: NotFoundError: no such model or version. RefusedError: it is being loaded, or there is no place left.
        """
        missing: NotFoundError | None = None
        try:
            call.model = None if name is None else self.repository.find(name, version)
        except NotFoundError as exc:  # raised below, where it is counted
            missing = exc
        in_flight = self.metrics.in_flight_of(*call.labels)
        self._accepted += 1
        in_flight.inc()
        status = 200
        try:
            if self._accepted > self.limits.max_requests:
                raise self._overloaded(f"{self.limits.max_requests} requests are waiting")
            if missing is not None:
                raise missing
            if call.model is not None:
                self.repository.check_ready(call.model)
            yield
        except BaseException as exc:
            reason = Reason.GONE if isinstance(exc, asyncio.CancelledError) else reason_of(exc)
            status = reason.http
            if reason is Reason.INTERNAL:  # the process edge of a request: the client gets a line, the log the traceback
                log.exception("internal error", extra={"model": call.labels[0], "request": call.request_id})
            raise
        finally:
            self._accepted -= 1
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

    async def compute(self, call: Call, work: Callable[[], T], gone: Callable[[], Awaitable[object]] | None = None) -> T:
        """What `work` returns, done in a worker thread; one that nobody waits for any more ends after its phase.

        Args:
            gone: waits until the client has gone; asked after WATCH_AFTER_S.
        Raises: RefusedError: the deadline was missed, or the client went away. Else what `work` raises.
        """
        loop = asyncio.get_running_loop()
        call.submitted = time.perf_counter()
        future = loop.run_in_executor(self._pools[-1][1], self._work, call, work)
        why: list[RefusedError] = []

        def stop(reason: RefusedError) -> None:
            why.append(reason)
            future.cancel()

        async def watch() -> None:
            assert gone is not None, "asked for"
            await gone()
            stop(RefusedError(Reason.GONE, "the client went away"))

        timers = [loop.call_later(max(0.0, call.left_s), lambda: stop(call.too_late()))] if call.left_s is not None else []
        watching: list[asyncio.Task[None]] = []
        if gone is not None:
            timers.append(loop.call_later(WATCH_AFTER_S, lambda: watching.append(loop.create_task(watch()))))
        try:
            return await future
        except asyncio.CancelledError:
            if why:
                raise why[0] from None
            raise
        finally:
            call.given_up = True
            for timer in timers:
                timer.cancel()
            for task in watching:
                task.cancel()

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
        """Count an answer: its phases, classes and confidences; log a sample."""
        name, version = call.labels
        for phase, seconds in call.phases.items():
            self.metrics.observe_phase(name, version, phase, seconds)
        if (said := call.answered) is not None:
            self.metrics.observe_answers(name, version, said.labels, said.probabilities_NK.max(axis=1).tolist())
            served = {"model": name, "version": version, "request_id": call.request_id}
            self._predictions.observe(said.bundle, said.items, said.labels, said.probabilities_NK, **served)
        self._seconds += 0.05 * (sum(call.phases.values()) - call.phases.get("queue", 0.0) - self._seconds)

    def _overloaded(self, what: str) -> RefusedError:
        """503, and when to come back: once what waits will have been answered, by the pace of late."""
        wait_s = self._accepted * self._seconds / self._scheduler.threads
        return RefusedError(
            Reason.OVERLOADED, f"overloaded: {what}; try again later", retry_after_s=max(1, min(30, round(wait_s)))
        )
