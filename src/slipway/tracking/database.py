"""A local SQLite database for MLflow: checked at once, and made complete or not at all."""

import fcntl
import re
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from slipway.errors import ConfigError, TrackingError

PREFIX = "sqlite:///"
WAIT_S = 30.0
"""How long a check waits for another process's write."""


def prepare(uri: str, make_tables: Callable[[str], object]) -> None:
    """See to it that the database of a `sqlite:///` URI is there and is one.

    MLflow makes its tables in place, in some sixty steps of 1.5 s in all, and is not safe against a kill, or another
    process, in between: what it finds half-made it cannot open again. So they are made aside, under a lock, and shown by
    one rename.

    Args:
        make_tables: makes MLflow's tables in the new database of a URI.
    Raises:
        ConfigError: the database would be in memory.
        TrackingError: the file cannot be used.
    """
    path = Path(uri.removeprefix(PREFIX))
    if not uri.startswith(PREFIX) or path.name in ("", ":memory:"):
        raise ConfigError("MLFLOW_TRACKING_URI: an in-memory database is gone after each step; use sqlite:///path")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _has_content(path):
            with (path.parent / f".{path.name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # released by the kernel if we are killed
                if not _has_content(path):
                    scratch = path.with_name(f".{path.name}.partial")
                    for leftover in path.parent.glob(f".{path.name}.partial*"):
                        leftover.unlink()
                    make_tables(f"{PREFIX}{scratch}")
                    scratch.replace(path)
        connection = sqlite3.connect(path, timeout=WAIT_S)
        try:
            connection.execute("PRAGMA schema_version").fetchone()
        finally:
            connection.close()
    except (OSError, sqlite3.Error) as exc:
        raise TrackingError(f"{path}: not usable as MLflow's database ({exc}); check MLFLOW_TRACKING_URI") from exc


def snapshot(uri: str, target: Path) -> None:
    """Copy the database of a `sqlite:///` URI as it is at one moment, while others write to it, and check the copy.

    Raises: TrackingError: there is none, or it is damaged.
    """
    source = Path(uri.removeprefix(PREFIX))
    if not source.is_file():
        raise TrackingError(f"{source}: no such database; check MLFLOW_TRACKING_URI")
    try:
        with closing(sqlite3.connect(source, timeout=WAIT_S)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)
            found = new.execute("PRAGMA integrity_check").fetchone()[0]
    except sqlite3.Error as exc:
        raise TrackingError(f"{source}: cannot be copied ({exc})") from exc
    if found != "ok":
        raise TrackingError(f"{source}: damaged ({found}); restore it from a backup")


def move(path: Path, places: Mapping[str, str]) -> None:
    """Rewrite where things lie: every text of the database that is an old place, or below it, becomes the new one.

    MLflow keeps absolute paths in half a dozen tables, and more with each version, so all columns of text are read.

    Args:
        places: old prefix -> new prefix, without closing slashes.
    """
    with closing(sqlite3.connect(path)) as connection, connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
            for column in (c[1] for c in columns if re.match("VARCHAR|TEXT|CHAR", c[2], re.IGNORECASE)):
                for old, new in places.items():
                    connection.execute(
                        f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) '
                        f'WHERE "{column}" = ? OR substr("{column}", 1, ?) = ?',
                        (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
                    )


def _has_content(path: Path) -> bool:
    return path.exists() and (not path.is_file() or path.stat().st_size > 0)
