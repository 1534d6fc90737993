"""`slipway doctor`: from a cluster, store, run or endpoint to its first broken link."""

import json
import sys
from typing import Annotated

import typer

from slipway.cli.flags import AsJson, Context

BROKEN = 2
WIDTH = 22


def command(
    what: Annotated[str, typer.Argument(metavar="cluster|store|run|endpoint", help="What is to be looked at.")],
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Of endpoint: the InferenceService. Of run: its id.")] = "",
    namespace: Annotated[
        str, typer.Option(help="Of the team; default: the context's. Of store: look at what its pods are told.")
    ] = "",
    context: Context = "",
    as_json: AsJson = False,
) -> None:
    """Find out why something does not work: every link checked, the cause, the fix. Exit code 0 healthy, 2 broken.

    Nothing is changed but one object in the store, which is removed again.
    """
    from slipway import settings
    from slipway.doctor import walk as states
    from slipway.doctor import walks

    links = []
    for link, finding in walks.walk(what, name, namespace=namespace, context=context, settings=settings.load()):
        links.append((link, finding))
        if not as_json:
            print(f"{finding.state:<{len(states.SKIPPED)}}  {link:<{WIDTH}}{finding.said}".rstrip(), flush=True)
    broken = [finding for _, finding in links if finding.state == states.BROKEN]
    if as_json:
        rows = [{"link": link, "state": f.state, "said": f.said, "fix": f.fix} for link, f in links]
        print(json.dumps({"what": what, "name": name, "healthy": not broken, "links": rows}, ensure_ascii=False))
    else:
        for finding in broken:
            print(f"\ncause: {finding.said}\nfix:   {finding.fix}")
        if not broken:
            print(f"\nhealthy: {sum(f.state == states.OK for _, f in links)} of {len(links)} links looked at")
    if broken:
        sys.exit(BROKEN)
