"""The ASGI application: v2 and v1 routes, plain ones for people, metrics, documentation."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp

import slipway
from slipway.errors import SlipwayError
from slipway.monitor.metrics import Metrics
from slipway.monitor.prediction_log import OFF, PredictionLog, PredictionLogConfig
from slipway.server import docs
from slipway.server.access import Access, AccessMiddleware
from slipway.server.dataplane import DataPlane, Limits
from slipway.server.direct import DirectApp
from slipway.server.grpc_server import GrpcServer
from slipway.server.http import json_response, refused
from slipway.server.models import Place, ServedModel
from slipway.server.openapi import describe
from slipway.server.people import PLAIN, People
from slipway.server.playground import Playground
from slipway.server.refusal import Reason, reason_of
from slipway.server.repository import Repository
from slipway.server.repository_routes import RepositoryRoutes
from slipway.server.scheduler import Scheduler
from slipway.server.v1 import PREDICT, V1
from slipway.server.v2 import V2

log = logging.getLogger("slipway.server")


def create_app(
    models: Sequence[ServedModel],
    *,
    cache: Path | None = None,
    threads: int = 2,
    store: str = "",
    token: str = "",
    cors: Sequence[str] = (),
    limits: Limits | None = None,
    grpc: tuple[str, int] | None = None,
    public_key: Path | None = None,
    prediction_log: PredictionLogConfig = OFF,
    draining: Callable[[], bool] = lambda: False,
    drain_s: float = 30.0,
    on_loaded: Callable[[Exception | None], None] = lambda _error: None,
) -> FastAPI:
    """The application over `models`, which it loads after start-up; probes answer meanwhile.

    Args:
        cache: where releases from a store are kept.
        threads: that compute at the same time, >= 1.
        store: URI of a store whose releases clients may load; empty: they may not.
        token: what requests must carry; empty: nothing.
        cors: origins whose pages may ask.
        limits: of what it takes on.
        grpc: host and port of the gRPC service, 0 for a free one, which is then in `app.state.grpc_port`; None: no gRPC.
        public_key: whose signature the models must have; None: none.
        draining: true once the server is stopping; nothing is ready from then on.
        drain_s: seconds that calls by gRPC get once the server is stopping.
        on_loaded: called once, with None when all models are ready, or with what went wrong with the first that is not.
    Raises: ConfigError: no model, two of one name and version, or a prediction log that is no store.
    """
    metrics = Metrics()
    scheduler = Scheduler(threads)
    place = Place(
        cache=cache or Path(gettempdir()) / "slipway-releases",
        scheduler=scheduler,
        public_key=public_key,
        on_batch=lambda model, items: metrics.observe_batch(model.name, model.version, items),
    )

    def came(model: ServedModel) -> None:
        metrics.observe_ready(model)
        plane.make_room(model)

    repository = Repository(models, place, store=store, on_ready=came, on_gone=metrics.observe_gone)
    predictions = PredictionLog(prediction_log, dropped=metrics.log_dropped.inc)
    plane = DataPlane(
        repository, scheduler, metrics=metrics, predictions=predictions, limits=limits or Limits(), draining=draining
    )
    access = Access(token)
    by_grpc = GrpcServer(plane, access)

    async def load_all() -> None:
        try:
            await plane.load(repository.load_all)
        except Exception as exc:  # noqa: BLE001  the edge of a background task: whoever started the server decides
            on_loaded(exc)
        else:
            on_loaded(None)
            predictions.start()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if grpc is not None:
            app.state.grpc_port = await by_grpc.start(*grpc)
        loading = asyncio.create_task(load_all())
        yield
        loading.cancel()
        await by_grpc.stop(drain_s)
        plane.close()
        predictions.close()

    title = "Slipway model server"
    app = DirectApp(title=title, version=slipway.__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.plane, app.state.metrics, app.state.grpc, app.state.grpc_port = plane, metrics, by_grpc, None
    v2, people, admin, playground = V2(plane), People(plane), RepositoryRoutes(plane), Playground(plane)

    async def exposition(_request: Request) -> Response:
        """The metrics, in Prometheus' text format."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    async def documentation(request: Request) -> Response:
        """This page."""
        here = str(request.base_url).rstrip("/")
        return Response(docs.page(app.openapi(), repository.models(), base_url=here), media_type="text/html")

    routes: dict[str, tuple[str, Any]] = {
        "/": ("GET", playground.playground),
        "/v2": ("GET", v2.server),
        "/v2/health/live": ("GET", v2.live),
        "/v2/health/ready": ("GET", v2.ready),
        "/v2/models": ("GET", v2.list_models),
        "/v2/models/{model}": ("GET", v2.metadata),
        "/v2/models/{model}/ready": ("GET", v2.model_ready),
        "/v2/models/{model}/infer": ("POST", v2.infer),
        "/v2/models/{model}/card": ("GET", playground.card),
        "/v2/models/{model}/card/page": ("GET", playground.card_page),
        "/v2/models/{model}/example": ("GET", playground.example),
        "/v2/models/{model}/versions/{version}": ("GET", v2.metadata),
        "/v2/models/{model}/versions/{version}/ready": ("GET", v2.model_ready),
        "/v2/models/{model}/versions/{version}/infer": ("POST", v2.infer),
        "/v2/repository/index": ("POST", admin.index),
        "/v2/repository/models/{model}/load": ("POST", admin.load),
        "/v2/repository/models/{model}/unload": ("POST", admin.unload),
        "/v1/models": ("GET", v2.list_models),
        "/v1/models/{model}": ("GET", v2.model_ready),
        PREDICT: ("POST", V1(plane).predict_instances),
        "/health": ("GET", people.health),
        **{path: ("POST", people.route(path)) for path in PLAIN},
        "/metrics": ("GET", exposition),
        "/docs": ("GET", documentation),
    }
    for path, (method, handler) in routes.items():
        app.add_api_route(
            path,
            handler,
            methods=[method],
            response_model=None,
            operation_id=f"{handler.__name__}{'_of_version' if 'version' in path else '_v1' if path.startswith('/v1') else ''}",
            response_class=Response,
            openapi_extra=describe(path),
        )
        if path in PLAIN:  # old clients end it so
            app.add_api_route(f"{path}/", handler, methods=[method], response_model=None, include_in_schema=False)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(SlipwayError, _refused)
    app.add_exception_handler(Exception, _failed)
    app.infer = v2.infer
    layers: list[Callable[[ASGIApp], ASGIApp]] = []
    if token:
        layers.append(lambda inner: AccessMiddleware(inner, access))
    if cors:
        layers.append(lambda inner: CORSMiddleware(inner, cors, allow_methods=["GET", "POST"], allow_headers=["*"]))
    app.wrap(*layers)
    return app


async def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, StarletteHTTPException)
    detail = exc.detail
    if not isinstance(exc, HTTPException):  # the router's own: no such route, or another method
        detail = f"{request.method} {request.url.path[:80]}: {exc.detail.lower()}; /docs lists the routes"
    response = json_response({"error": detail}, exc.status_code)
    response.headers.update(exc.headers or {})
    return response


async def _refused(request: Request, exc: Exception) -> Response:
    """Of a route that no model answers; those log for themselves."""
    if reason_of(exc) is Reason.INTERNAL:
        log.error("internal error", exc_info=exc, extra={"path": request.url.path})
    return refused(exc)


async def _failed(_request: Request, exc: Exception) -> Response:
    """A bug of ours, which the HTTP server logs."""
    return refused(exc)
