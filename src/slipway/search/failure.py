"""A candidate or trial that failed, told: in one line, and where that is not enough, with its traceback in a file."""

import traceback
from pathlib import Path

from slipway.errors import SlipwayError
from slipway.store import files


def one_line(exc: Exception) -> str:
    """An error in one line; one that is not ours with its class."""
    lines = str(exc).strip().splitlines() or [""]
    return lines[0] if isinstance(exc, SlipwayError) else f"{type(exc).__name__}: {lines[0]}"


def traced(exc: Exception, folder: Path) -> str:
    """The error in one line; of one that is not ours the traceback goes to `folder`, and the line ends with where."""
    if isinstance(exc, SlipwayError):
        return one_line(exc)
    path = folder / "error.txt"
    files.write_bytes(path, "".join(traceback.format_exception(exc)).encode())
    return f"{one_line(exc)} ({path})"
