"""`slipway runs`: the runs of this store, newest first."""

from typing import Annotated

import typer


def command(limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20) -> None:
    """List runs: when each started, its status and the step it reached."""
    from slipway import settings
    from slipway.cli.table import show
    from slipway.runs import record
    from slipway.store.uri import open_store

    latest = record.list_runs(open_store(settings.load().store))[: -limit - 1 : -1]
    rows = [(r.run_id, r.started[:16].replace("T", " "), r.status, f"{r.seconds:.0f}", r.steps[-1]) for r in latest]
    show(("run", "started (UTC)", "status", "seconds", "last step"), rows, empty="No run yet. Start one: slipway run cv")
