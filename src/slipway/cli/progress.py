"""How far a verb has come: a bar on a terminal, a line every few seconds elsewhere; always on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meter:
    """Takes steps, and lines that are to stand above the bar."""

    step: Callable[[], None]
    say: Callable[[str], None]


@contextmanager
def meter(what: str, total: int) -> Iterator[Meter]:
    """A meter of `total` items; 0 when nobody knows how many. No bar where stdout shows results on the same terminal."""
    from slipway.data.progress import Progress, to_stderr

    if not sys.stderr.isatty() or sys.stdout.isatty():
        yield Meter(Progress(what, total, to_stderr).step, to_stderr)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total or None)
        yield Meter(
            lambda: bar.advance(task), lambda line: bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        )
