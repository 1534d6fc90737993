"""The folder of a comparison or study: one process at a time, and lines that say how far it is."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.data.raw import slug
from slipway.errors import ConflictError


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """Make the folder and keep other processes out of it until the block ends, however this process ends.

    Raises: ConflictError: another process works in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise ConflictError(f"{folder}: another process works in it; wait for it, or choose another -o") from exc
        yield folder
    finally:
        os.close(lock)


def default(verb: str, source: str) -> Path:
    """The folder of a verb and a data set, where no other is named: in the working directory."""
    return Path(f"{verb}-{slug(Path(source).stem)}")
