"""`slipway backup`: a copy of registry and store."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from slipway.cli.flags import AsJson


def command(
    target: Annotated[str, typer.Argument(metavar="DIR|URI", help="A directory, or s3://bucket/prefix.")],
    as_json: AsJson = False,
) -> None:
    """Copy the registry, releases, evaluations and run records, checksummed; the same target again copies what is new."""
    from slipway import settings as settings_
    from slipway.housekeeping import backup
    from slipway.tracking import client

    settings = settings_.load()
    done = backup.back_up(settings, target)
    if not done.registry:
        where = client.redacted(settings.tracking_uri)
        print(f"the registry at {where} is not in it: back its database up by its own tools, such as pg_dump", file=sys.stderr)
    said = f"{target}: {done.versions} versions, {done.artifacts} artifacts, {done.runs} runs"
    print(json.dumps({"backup": target, **asdict(done)}) if as_json else said)
