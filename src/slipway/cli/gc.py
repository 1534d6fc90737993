"""`slipway gc`: remove what nothing needs any more."""

import json
import re
import sys
from typing import Annotated

import typer

from slipway.cli.flags import AsJson
from slipway.errors import ConfigError

Option = typer.Option
UNITS = {"h": 3600, "d": 86400, "w": 7 * 86400}


def command(
    delete: Annotated[bool, Option("--delete", help="Do it; without, the table only says what would go.")] = False,
    older_than: Annotated[str, Option(metavar="AGE", help="Nothing younger goes: 12h, 30d, 8w; at least 1h.")] = "30d",
    keep_versions: Annotated[int, Option(min=0, help="The newest of each model stay, alias or not.")] = 3,
    downloads: Annotated[bool, Option("--downloads", help="Also data sets that were downloaded to the home.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what nothing needs: old versions without an alias, releases, evaluations, runs, copies, leftovers of kills."""
    from slipway import settings as settings_
    from slipway.cli.table import show
    from slipway.housekeeping import gc

    policy = gc.Policy(older_than_s=_seconds(older_than), keep_versions=keep_versions, downloads=downloads)
    settings = settings_.load()
    items, unknown = gc.plan(settings, policy)
    for name in unknown:
        print(f"{settings.store}/models/{name}: no such model in this registry; left alone, with all runs", file=sys.stderr)
    gone = []
    for item in items if delete else []:
        if item.remove():
            gone.append(item)
        else:
            print(f"{item.what}: is needed by now, so it stays", file=sys.stderr)
    listed = gone if delete else items
    total = sum(item.bytes for item in listed)
    if as_json:
        found = [{"kind": i.kind, "what": i.what, "why": i.why, "bytes": i.bytes} for i in listed]
        print(json.dumps({"deleted": delete, "bytes": total, "items": found}, ensure_ascii=False))
        return
    rows = [(i.kind, i.why, _readable(i.bytes), i.what) for i in listed]
    show(("kind", "why", "size", "what"), rows, empty="Nothing to remove.")
    if rows:
        print(f"{_readable(total)} removed" if delete else f"{_readable(total)} would go; slipway gc --delete removes it")


def _seconds(age: str) -> float:
    found = re.fullmatch(r"(\d{1,5})([hdw])", age)
    if not found:
        raise ConfigError(f"--older-than {age}: must be a whole number of hours, days or weeks, such as 12h, 30d or 8w")
    return float(int(found[1]) * UNITS[found[2]])


def _readable(num_bytes: int) -> str:
    if num_bytes < 1000:
        return f"{num_bytes} B"
    power = min(len(str(num_bytes)) - 1, 14) // 3
    return f"{num_bytes / 1000**power:.1f} {'kMGT'[power - 1]}B"
