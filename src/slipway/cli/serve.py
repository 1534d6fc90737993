"""`slipway serve`: registered models, or releases by path or URI, over the v2 protocol."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slipway.settings import Settings


def command(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL[@alias]|NAME=RELEASE|RELEASE]...", help="Without any: the champion of every model."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 8080,
    grpc_port: Annotated[
        int | None, typer.Option(min=-1, max=65535, help="Of gRPC: default the next after --port; 0 a free one, -1 none.")
    ] = None,
    prediction_log: Annotated[
        str,
        typer.Option(metavar="TARGET", help="Log a sample of answers there, without payloads: a store, or - for stdout."),
    ] = "",
    prediction_sample: Annotated[float, typer.Option(metavar="RATE", help="Share of requests that are logged, 0 to 1.")] = 0.0,
) -> None:
    """Serve models until interrupted; one JSON line on stdout when all have proved themselves.

    A RELEASE is a directory or a store URI and needs no registry; a MODEL is looked up in MLflow (MODEL, MODEL@alias,
    MODEL:version).
    """
    from slipway import settings as settings_
    from slipway.monitor.prediction_log import PredictionLogConfig
    from slipway.server.logs import setup
    from slipway.server.main import serve

    setup()
    settings = settings_.load()
    log = PredictionLogConfig(target=prediction_log, sample=prediction_sample)
    releases = [_release(text, settings) for text in models] if models else _champions(settings)
    raise typer.Exit(serve(releases, host=host, port=port, grpc_port=grpc_port, store=settings.store, prediction_log=log))


def _release(text: str, settings: "Settings") -> tuple[str, str]:
    """(name or name:version, directory or URI) of one argument."""
    from slipway import references

    name, equals, source = text.partition("=")
    if equals:
        return name, source
    found = references.find(text, settings)
    return str(found), found.source


def _champions(settings: "Settings") -> list[tuple[str, str]]:
    from slipway.errors import NotFoundError
    from slipway.tracking import registry

    names = registry.names(settings=settings)
    champions = [c for c in (registry.champion(name, settings=settings) for name in names) if c is not None]
    if not champions:
        raise NotFoundError("serve: no model has a champion yet; make one: slipway run cv")
    return [(f"{c.name}:{c.version}", c.release_uri) for c in champions]
