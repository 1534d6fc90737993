"""`slipway serve`: registered models, or releases by path or URI, over the v2 protocol."""

import re
from pathlib import Path
from typing import Annotated

import typer


def command(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL[@alias]|NAME=RELEASE|RELEASE]...", help="Without any: the champion of every model."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 8080,
) -> None:
    """Serve models until interrupted; one JSON line on stdout when all have proved themselves.

    A RELEASE is a directory or a store URI and needs no registry; a MODEL is looked up in MLflow (MODEL, MODEL@alias,
    MODEL:version).
    """
    from slipway.server.logs import setup
    from slipway.server.main import serve

    setup()
    raise typer.Exit(serve([_release(text) for text in models] if models else _champions(), host=host, port=port))


def _release(text: str) -> tuple[str, str]:
    """(name or name:version, directory or URI) of one argument."""
    name, equals, source = text.partition("=")
    if equals:
        return name, source
    if "/" in text or Path(text).is_dir():
        return _name_of(text), text
    from slipway.tracking import registry

    version = registry.resolve(text)
    return f"{version.name}:{version.version}", version.release_uri


def _name_of(release: str) -> str:
    """Releases lie at models/<name>/<digest>; any other directory is called by its own name."""
    parts = release.rstrip("/").split("/")
    return parts[-2] if re.fullmatch(r"[0-9a-f]{64}", parts[-1]) and len(parts) > 1 else parts[-1]


def _champions() -> list[tuple[str, str]]:
    from slipway.errors import NotFoundError
    from slipway.tracking import registry

    champions = [c for c in map(registry.champion, registry.names()) if c is not None]
    if not champions:
        raise NotFoundError("serve: no model has a champion yet; make one: slipway run cv")
    return [(f"{c.name}:{c.version}", c.release_uri) for c in champions]
