"""`slipway promote`: make a registered version the champion."""

from typing import Annotated

import typer


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL[:VERSION]", help="Without a version: the challenger.")],
) -> None:
    """Move the alias `champion`: what `slipway serve MODEL` serves and the next gate compares with."""
    from slipway.errors import ConfigError
    from slipway.tracking import registry

    name, _, version = model.partition(":")
    if version and not version.isdigit():
        raise ConfigError(f"{model}: the version must be a number, such as {name}:2")
    promoted = registry.promote(name, int(version) if version else None)
    print(f"{promoted.name}: version {promoted.version} ({promoted.release_digest[:12]}) is champion")
