"""Where a verb's `-o` leads: a local directory, or a place in a store."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.errors import ConfigError, ConflictError
from slipway.settings import Settings


@contextmanager
def placed(where: str, *, holds: str, settings: Settings) -> Iterator[tuple[Path, str]]:
    """A directory to write an artifact to, and the s3:// URI to publish it at: empty where the directory itself is asked for.

    What is to be published lies below the home until the block ends.

    Args:
        where: a path, or s3://bucket/path.
        holds: a file that every such artifact has: only such a directory is replaced.
    Raises: ConflictError: something else is there.
    """
    from slipway.store import files, local

    if where.startswith("s3://"):
        outgoing = settings.home / "outgoing" / hashlib.sha256(where.encode()).hexdigest()[:16]
        yield outgoing, where
        files.discard(outgoing)
        return
    path = local.parse(where)
    if path.exists() and not (path / holds).is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise ConflictError(f"-o {path}: is there and has no {holds}, so it is not replaced; name a new folder")
    yield path, ""


@contextmanager
def written(target: Path | None) -> Iterator[None]:
    """What writes the file of `-o`. Raises: ConfigError: it cannot be written."""
    try:
        yield
    except OSError as exc:
        if target is None:
            raise
        raise ConfigError(f"-o {target}: cannot be written ({exc.strerror or exc})") from exc


def run_id(verb: str, family: str, *made_of: object) -> str:
    """Id of the run record of a verb that is one step: the same call goes on with the same record."""
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return f"{verb}-{family}-{digest[:12]}"
