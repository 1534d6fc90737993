"""`slipway models`: what the registry holds."""

from typing import Annotated

import typer


def command(
    name: Annotated[str, typer.Argument(metavar="[MODEL]", help="Only this model, and where its releases are.")] = "",
) -> None:
    """List registered models: versions, aliases, accuracy, digests and where the releases are."""
    from slipway.cli.table import show
    from slipway.tracking import registry

    versions = [version for model in ([name] if name else registry.names()) for version in registry.versions(model)]
    rows = [
        (
            v.name,
            v.version,
            ", ".join(v.aliases),
            "" if v.accuracy is None else f"{v.accuracy:.4f}",
            v.release_uri if name else v.release_digest[:12],
        )
        for v in versions
    ]
    columns = ("model", "version", "aliases", "accuracy", "release")
    show(columns, rows, empty="No model is registered yet. Make one: slipway run cv")
