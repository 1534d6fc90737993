"""The v2 routes: each a plain function of the request, so that no model validation stands on the request path."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import orjson
from fastapi import HTTPException, Request, Response
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

import slipway
from slipway.errors import NotFoundError, UserError, unknown
from slipway.explain.explanation import Explanation
from slipway.monitor.metrics import UNKNOWN, Metrics
from slipway.server import binary, codec
from slipway.server.models import ServedModel

log = logging.getLogger("slipway.server")
PROTOCOL = "rest_v2"
MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_DRAIN_BYTES = 4 * MAX_BODY_BYTES
"""Of a refused body this much is read and thrown away, so that the client gets to read why; then the line is cut."""


def json_response(value: Any, status: int = 200) -> Response:
    """JSON with a newline, as terminals like it."""
    return Response(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE), status, media_type="application/json")


def status_of(exc: UserError) -> int:
    """The one table from error class to HTTP status."""
    return 404 if isinstance(exc, NotFoundError) else 400


class Call:
    """One request that a model answers, as far as it is known, and what its phases took."""

    def __init__(self, protocol: str, model: ServedModel | None = None) -> None:
        """`protocol`: of the metrics. `model`: None as long as nobody knows which."""
        self.protocol, self.model = protocol, model
        self.started = self.submitted = time.perf_counter()
        self.phases: dict[str, float] = {}

    @property
    def labels(self) -> tuple[str, str]:
        """Name and version of the model, for the metrics."""
        return (self.model.name, self.model.version) if self.model is not None else (UNKNOWN, "")

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add what the block takes to a phase; what lies between submission and the first one is `queue`."""
        began = time.perf_counter()
        if not self.phases:
            self.phases = {"queue": began - self.submitted, "preprocess": 0.0, "model": 0.0}
        yield
        self.add(phase, time.perf_counter() - began)

    def add(self, phase: str, seconds: float) -> None:
        """Add seconds to a phase."""
        self.phases[phase] = self.phases.get(phase, 0.0) + seconds


class V2:
    """The routes over a set of models."""

    def __init__(
        self, models: Mapping[str, ServedModel], *, metrics: Metrics, pool: ThreadPoolExecutor, draining: Callable[[], bool]
    ) -> None:
        """`pool` does everything that takes time, so that the event loop always answers probes."""
        self.models, self.metrics, self.pool, self.draining = models, metrics, pool, draining

    async def server(self, _request: Request) -> Response:
        """Name and version of the server, and the protocol's extensions that it speaks."""
        return json_response({"name": "slipway", "version": slipway.__version__, "extensions": [binary.EXTENSION]})

    async def live(self, _request: Request) -> Response:
        """The process runs and its event loop turns."""
        return json_response({"live": True})

    async def ready(self, _request: Request) -> Response:
        """Every model's files are verified and its self-test holds; 503 before, and once the server is stopping."""
        ready = self.all_ready()
        return json_response({"ready": ready}, 200 if ready else 503)

    def all_ready(self) -> bool:
        """Whether every model is, and the server is not stopping."""
        return not self.draining() and all(m.bundle is not None for m in self.models.values())

    async def list_models(self, _request: Request) -> Response:
        """Names of the served models."""
        return json_response({"models": sorted(self.models)})

    async def model_ready(self, request: Request) -> Response:
        """The same for one model."""
        model = self.find(request)
        ready = model.bundle is not None and not self.draining()
        return json_response({"name": model.name, "ready": ready}, 200 if ready else 503)

    async def metadata(self, request: Request) -> Response:
        """Inputs, outputs and, beside `probabilities`, the order of the classes."""
        return json_response(self.loaded(request).metadata())

    async def infer(self, request: Request) -> Response:
        """Answer the items of one request."""
        call = Call(PROTOCOL, self.models.get(request.path_params["model"]))
        header = request.headers.get(binary.HEADER)
        return await self.answered(
            request, call, lambda: self.loaded(request), lambda call, body: self._answer(call, body, header)
        )

    async def answered(
        self, request: Request, call: "Call", check: Callable[[], Any], answer: Callable[["Call", bytes], Response]
    ) -> Response:
        """A request that a model answers, from its body to its answer: counted and timed; an error is one line of JSON.

        Args:
            check: looks at what is known before the body is read.
            answer: body to response, in a worker thread; sets `call.model` where the path did not say it.
        """
        in_flight = self.metrics.in_flight.labels(*call.labels)
        in_flight.inc()
        status = 500
        try:
            check()
            body = await body_of(request)
            call.submitted = time.perf_counter()
            response = await asyncio.get_running_loop().run_in_executor(self.pool, answer, call, body)
            status = 200
            return response
        except UserError as exc:
            status = status_of(exc)
            return json_response({"error": str(exc)}, status)
        except HTTPException as exc:
            status = exc.status_code
            raise
        except ClientDisconnect:
            status = 499  # nobody is there to read it; the number is nginx's
            return Response(status_code=status)
        except Exception:  # the process edge of a request: the client gets a line, the log the traceback
            log.exception("internal error", extra={"model": call.labels[0]})
            return json_response({"error": "internal error; the server's log has the cause"}, status)
        finally:
            seconds = time.perf_counter() - call.started
            in_flight.dec()
            self.metrics.observe_request(*call.labels, call.protocol, status, seconds)
            log.debug("infer", extra={"model": call.labels[0], "status": status, "seconds": round(seconds, 6)})

    def observe(self, call: "Call", labels: Sequence[str], probabilities_NK: NDArray[np.float32]) -> None:
        """Count an answer: its phases, classes and confidences."""
        assert call.model is not None, "somebody answered"
        name, version = call.model.name, call.model.version
        for phase, seconds in call.phases.items():
            self.metrics.observe_phase(name, version, phase, seconds)
        self.metrics.observe_answers(name, version, labels, probabilities_NK.max(axis=1).tolist())

    def _answer(self, call: "Call", body: bytes, header: str | None) -> Response:
        """In a worker thread; `header`: of binary tensors."""
        model = call.model
        assert model is not None and model.bundle is not None, "checked by loaded"  # noqa: PT018
        with call.timed("parse"):
            request = codec.parse(body, model.bundle.preprocess.input_name, header=header)
        explanations: Sequence[Explanation] = ()
        if request.explained:
            with call.timed("explain"):
                labels, probabilities_NK, explanations = model.explain(request.items)
        else:
            labels, probabilities_NK = model.predict(request.items, call.add)
        with call.timed("postprocess"):
            content, json_length = codec.respond(
                request,
                model=model.name,
                version=model.version,
                labels=labels,
                probabilities_NK=probabilities_NK,
                explanations=explanations,
            )
        self.observe(call, labels, probabilities_NK)
        if json_length is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={binary.HEADER: str(json_length)})

    def find(self, request: Request) -> ServedModel:
        """The model that the path names. Raises: NotFoundError: none of that name or version."""
        name, version = request.path_params["model"], request.path_params.get("version")
        if name not in self.models:
            raise NotFoundError(unknown("model", name[:80], self.models))
        model = self.models[name]
        if version is not None and model.bundle is not None and version != model.version:
            raise NotFoundError(unknown(f"version of model '{name}'", version[:80], [model.version]))
        return model

    def loaded(self, request: Request) -> ServedModel:
        """The same, ready. Raises: NotFoundError; HTTPException 503: it is being loaded."""
        model = self.find(request)
        if model.bundle is None:
            raise HTTPException(503, f"model '{model.name}' is being loaded; ask /v2/models/{model.name}/ready")
        return model


async def body_of(request: Request) -> bytes:
    """The request's body, at most MAX_BODY_BYTES; what is above that is thrown away unread."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise HTTPException(415, f"content-encoding '{encoding[:40]}' is not supported; send the JSON as it is")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_DRAIN_BYTES:
        raise _too_large()
    chunks, num_bytes = [], 0
    async for chunk in request.stream():
        num_bytes += len(chunk)
        if num_bytes <= MAX_BODY_BYTES:
            chunks.append(chunk)
        else:
            chunks.clear()
            if num_bytes > MAX_DRAIN_BYTES:
                break
    if num_bytes > MAX_BODY_BYTES:
        raise _too_large()
    return b"".join(chunks)


def _too_large() -> HTTPException:
    return HTTPException(413, f"body: above the limit of {MAX_BODY_BYTES // 1024 // 1024} MB; send fewer or smaller items")
