"""The server process: `python -m slipway.server NAME=PATH_OR_URI …`; exit code 0 when stopped, 2 for the user's mistake."""

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import uvicorn

from slipway import settings as settings_
from slipway.errors import ConfigError, SlipwayError, UserError
from slipway.monitor.prediction_log import OFF, PredictionLogConfig
from slipway.server.allocator import keep_freed_memory
from slipway.server.app import create_app
from slipway.server.dataplane import Limits
from slipway.server.logs import setup
from slipway.server.models import ServedModel, served_model
from slipway.server.slow import PatientProtocol

log = logging.getLogger("slipway.server")
DRAIN_S = 30
"""Requests in flight get this long after SIGTERM; KServe's pods are given 30 s in all by default, plus the preStop delay."""
KEEP_ALIVE_S = 75
"""Idle connections stay longer than the 60 s of common proxies, so that the proxy closes first and no request is lost."""


def serve(
    releases: Sequence[tuple[str, str]],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    grpc_port: int | None = None,
    cache: Path | None = None,
    threads: int = 0,
    store: str = "",
    cors: Sequence[str] = (),
    limits: Limits | None = None,
    prediction_log: PredictionLogConfig = OFF,
    until_eof: bool = False,
) -> int:
    """Serve until SIGTERM or SIGINT; prints one JSON line on stdout when every model is ready.

    Args:
        releases: (name, directory or store URI); a name may carry a version, `name:7`.
        port: 0 picks a free one; the line says which.
        grpc_port: of gRPC; 0 picks a free one, below 0 means none; None: the next after `port`, or a free one if that is 0.
        threads: that compute at the same time; 0 means SLIPWAY_THREADS or the cores.
        store: URI of a store whose releases clients may load; empty: they may not.
        cors: origins whose pages may ask.
        limits: of what it takes on.
        until_eof: stop, too, when stdin ends: for a parent that must not leave a server behind.
    Returns: 0 after requests in flight were answered.
    Raises: ConfigError: the address or the prediction log cannot be used. BundleError: a release is damaged.
        StoreError: not reachable.
    """
    settings = settings_.load()
    keep_freed_memory()
    models = [served_model(name.partition(":")[0], source, version=name.partition(":")[2]) for name, source in releases]
    if grpc_port is None:
        grpc_port = port + 1 if port else 0
    failures: list[Exception] = []

    def loaded(error: Exception | None) -> None:
        if error is not None:
            failures.append(error)
            server.should_exit = True
            return
        ready = {
            "ready": True,
            "host": host,
            "port": bound.getsockname()[1],
            "grpc_port": app.state.grpc_port,
            "models": [_describe(m) for m in models],
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()

    app = create_app(
        models,
        cache=cache or settings.home / "cache",
        threads=threads or settings.threads,
        store=store,
        token=settings.server_token,
        cors=cors,
        limits=limits,
        grpc=(host, grpc_port) if grpc_port >= 0 else None,
        drain_s=DRAIN_S,
        public_key=settings.model_public_key,
        prediction_log=prediction_log,
        draining=lambda: server.should_exit,
        on_loaded=loaded,
    )
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=PatientProtocol,
        proxy_headers=False,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config, lambda: app.state.grpc.stop(DRAIN_S))
    if until_eof:
        threading.Thread(target=_stop_at_eof, args=(server,), daemon=True).start()
    with _bind(host, port) as bound, _signals_ignored():
        log.info("listening", extra={"host": host, "port": bound.getsockname()[1]})
        server.run(sockets=[bound])
    if failures:
        raise failures[0]
    log.info("stopped")
    return 0


class _Server(uvicorn.Server):
    """Drains gRPC beside HTTP: one after the other would take twice the time that a pod is given."""

    def __init__(self, config: uvicorn.Config, drain_grpc: Callable[[], Coroutine[None, None, None]]) -> None:
        super().__init__(config)
        self._drain_grpc = drain_grpc

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        draining = asyncio.create_task(self._drain_grpc())
        await super().shutdown(sockets)
        await draining


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The parsed command line; argparse ends the process with code 2 on an unknown flag."""
    parser = argparse.ArgumentParser(
        prog="python -m slipway.server", description="Serve releases by the v2 inference protocol."
    )
    what = "directory or store URI of a release, or an ONNX file"
    parser.add_argument("releases", nargs="*", metavar="NAME[:VERSION]=RELEASE", help=what)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 in a container")
    parser.add_argument("--port", type=int, default=8080, help="0 picks a free port and prints it")
    parser.add_argument("--grpc-port", type=int, help="of gRPC: default the next after --port; 0 a free one, -1 none")
    parser.add_argument("--store", default="", help="URI of a store whose releases clients may load and unload")
    parser.add_argument("--cors-origin", action="append", default=[], help="whose pages may ask; repeatable; default none")
    parser.add_argument("--max-requests", type=int, default=Limits().max_requests, help="accepted at a time; more get 503")
    parser.add_argument("--cache", type=Path, help="where releases from a store are kept; default SLIPWAY_HOME/cache")
    parser.add_argument("--model-version", default="", help="of the only release, instead of NAME:VERSION")
    parser.add_argument("--prediction-log", default="", metavar="TARGET", help="store for a sample of answers, or -")
    parser.add_argument("--prediction-sample", type=float, default=0.0, metavar="RATE", help="share of requests, 0 to 1")
    parser.add_argument("--until-eof", action="store_true", help="stop, too, when stdin ends")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; errors become one line on stderr."""
    args = arguments(argv)
    setup()
    warnings.filterwarnings("ignore", module="PIL")  # odd but readable images: the client's business, not the log's
    try:
        releases = [_release(text, args.model_version, alone=len(args.releases) == 1) for text in args.releases]
        if args.max_requests < 1:
            raise ConfigError(f"--max-requests: must be >= 1, got {args.max_requests}")
        prediction_log = PredictionLogConfig(target=args.prediction_log, sample=args.prediction_sample)
        return serve(
            releases,
            host=args.host,
            port=args.port,
            grpc_port=args.grpc_port,
            cache=args.cache,
            store=args.store,
            cors=args.cors_origin,
            limits=Limits(max_requests=args.max_requests),
            prediction_log=prediction_log,
            until_eof=args.until_eof,
        )
    except SlipwayError as exc:
        sys.stderr.write(f"error: {exc}\n")
        return 2 if isinstance(exc, UserError) else 1


def _release(text: str, version: str, *, alone: bool) -> tuple[str, str]:
    name, equals, source = text.partition("=")
    if not (name and equals and source):
        raise ConfigError(f"'{text}': must be NAME=RELEASE or NAME:VERSION=RELEASE, where RELEASE is a directory or store URI")
    if version and (":" in name or not alone):
        raise ConfigError("--model-version: only for one release without a version of its own; write NAME:VERSION=RELEASE")
    return (f"{name}:{version}" if version else name), source


def _describe(model: ServedModel) -> dict[str, str]:
    return {"name": model.name, "version": model.version, "digest": model.digest}


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as exc:
        reason = os.strerror(exc.errno) if isinstance(exc, OSError) and exc.errno and exc.errno > 0 else exc
        raise ConfigError(f"{host}:{port}: cannot listen there ({reason}); choose another --port, or 0 for a free one") from exc


def _stop_at_eof(server: uvicorn.Server) -> None:
    while os.read(sys.stdin.fileno(), 4096):  # not sys.stdin.read(): its lock, held at the process's end, aborts Python
        pass
    server.should_exit = True


@contextmanager
def _signals_ignored() -> Iterator[None]:
    """uvicorn handles signals itself, and raises them again once it has drained: by default that kills, exit code not 0."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """In place of the default, which kills."""


def run() -> NoReturn:
    """Entry point of `python -m slipway.server`."""
    sys.exit(main())
