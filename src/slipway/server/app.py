"""The ASGI application: v2 and v1 routes, plain ones for people, metrics, documentation."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException as StarletteHTTPException

import slipway
from slipway.errors import ConfigError, UserError
from slipway.monitor.metrics import Metrics
from slipway.server import docs
from slipway.server.models import ServedModel
from slipway.server.people import PLAIN, People
from slipway.server.v1 import PREDICT, V1
from slipway.server.v2 import V2, json_response, status_of

log = logging.getLogger("slipway.server")


def create_app(
    models: Sequence[ServedModel],
    *,
    cache: Path | None = None,
    threads: int = 2,
    draining: Callable[[], bool] = lambda: False,
    on_loaded: Callable[[Exception | None], None] = lambda _error: None,
) -> FastAPI:
    """The application over `models`, which it loads after start-up; probes answer meanwhile.

    Args:
        cache: where releases from a store are kept.
        threads: workers that decode and predict, and threads of the engine, >= 1.
        draining: true once the server is stopping; nothing is ready from then on.
        on_loaded: called once, with None when all models are ready, or with what went wrong with the first that is not.
    Raises: ConfigError: no model, or two of one name.
    """
    by_name = {model.name: model for model in models}
    if not models or len(by_name) != len(models):
        raise ConfigError(f"models: need at least one and different names, got {', '.join(m.name for m in models) or 'none'}")
    metrics = Metrics()
    pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="predict")

    def load(model: ServedModel) -> None:
        model.load(cache=cache or Path(gettempdir()) / "slipway-releases", threads=threads)
        info = model.metadata()["parameters"]
        labels = (info["digest"], info["family"], info["architecture"], info["variant"])
        metrics.model_info.labels(model.name, model.version, *labels).set(1)

    async def load_all() -> None:
        try:
            for model in models:
                await asyncio.get_running_loop().run_in_executor(pool, load, model)
        except Exception as exc:  # noqa: BLE001  the edge of a background task: whoever started the server decides
            on_loaded(exc)
        else:
            on_loaded(None)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(load_all())
        yield
        loading.cancel()
        pool.shutdown(cancel_futures=True)

    app = FastAPI(title="Slipway model server", version=slipway.__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.models, app.state.metrics = by_name, metrics
    v2 = V2(by_name, metrics=metrics, pool=pool, draining=draining)
    people = People(v2)

    async def exposition(_request: Request) -> Response:
        """The metrics, in Prometheus' text format."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    async def documentation(request: Request) -> Response:
        """This page."""
        here = str(request.base_url).rstrip("/")
        return Response(docs.page(app.openapi(), list(by_name.values()), base_url=here), media_type="text/html")

    routes: dict[str, tuple[str, Any]] = {
        "/v2": ("GET", v2.server),
        "/v2/health/live": ("GET", v2.live),
        "/v2/health/ready": ("GET", v2.ready),
        "/v2/models": ("GET", v2.list_models),
        "/v2/models/{model}": ("GET", v2.metadata),
        "/v2/models/{model}/ready": ("GET", v2.model_ready),
        "/v2/models/{model}/infer": ("POST", v2.infer),
        "/v2/models/{model}/versions/{version}": ("GET", v2.metadata),
        "/v2/models/{model}/versions/{version}/ready": ("GET", v2.model_ready),
        "/v2/models/{model}/versions/{version}/infer": ("POST", v2.infer),
        "/v1/models": ("GET", v2.list_models),
        "/v1/models/{model}": ("GET", v2.model_ready),
        PREDICT: ("POST", V1(v2).predict_instances),
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
            openapi_extra=docs.describe(path),
        )
        if path in PLAIN:  # old clients end it so
            app.add_api_route(f"{path}/", handler, methods=[method], response_model=None, include_in_schema=False)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(UserError, _user_error)
    return app


async def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, StarletteHTTPException)
    detail = exc.detail
    if not isinstance(exc, HTTPException):  # the router's own: no such route, or another method
        detail = f"{request.method} {request.url.path[:80]}: {exc.detail.lower()}; /docs lists the routes"
    response = json_response({"error": detail}, exc.status_code)
    response.headers.update(exc.headers or {})
    return response


async def _user_error(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, UserError)
    return json_response({"error": str(exc)}, status_of(exc))
