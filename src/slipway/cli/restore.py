"""`slipway restore`: a backup into this home and store."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from slipway.cli.flags import AsJson


def command(
    source: Annotated[str, typer.Argument(metavar="DIR|URI", help="What `slipway backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="The registry here gives way, and the store keeps what it has.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a backup into SLIPWAY_HOME and SLIPWAY_STORE, every sum checked; both must be empty."""
    from slipway import settings as settings_
    from slipway.housekeeping import backup

    settings = settings_.load()
    done = backup.restore(settings, source, replace_registry=replace)
    if not done.registry:
        print("the registry is not in this backup: restore its database by its own tools", file=sys.stderr)
    said = f"{settings.store}: {done.versions} versions, {done.artifacts} artifacts, {done.runs} runs"
    print(json.dumps({"store": settings.store, **asdict(done)}) if as_json else said)
