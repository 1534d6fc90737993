"""`slipway report`: the report of a run, as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[str, typer.Argument(help="Run id, as `slipway runs` lists them.")],
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="FILE.html", help="Default RUN.html, here.")] = None,
    card: Annotated[bool, typer.Option("--card", help="The model card in Markdown instead; default RUN.md.")] = False,
) -> None:
    """Fetch a run's report: verdict, numbers with intervals, curves, mistakes, lineage; any browser opens it, offline."""
    from slipway import settings as settings_
    from slipway.errors import NotFoundError
    from slipway.evaluation.report import pages
    from slipway.runs import record
    from slipway.store import files
    from slipway.store.uri import fetch, open_store

    settings = settings_.load()
    steps = record.read(open_store(settings.store), run)
    if not (uri := steps.get("gate", {}).get("results", {}).get("report")):
        raise NotFoundError(f"run {run}: has no report; `slipway show {run}` tells how far it came")
    target = out or Path(f"{run}.{'md' if card else 'html'}")
    found = fetch(uri, settings.home / "cache") / (pages.CARD if card else pages.REPORT)
    files.write_bytes(target, found.read_bytes())
    print(target)
