"""The user's own data, put where pods can read it."""

import os
import shutil
import tempfile
from pathlib import Path

from slipway.data.raw import KINDS
from slipway.errors import ConfigError
from slipway.settings import Settings
from slipway.store import files
from slipway.store.uri import open_store


def upload(path: Path, *, family: str, settings: Settings) -> str:
    """Copy a folder or table to `<store>/raw/<digest>` and return the URI for the pipeline's parameter `data`.

    A table of image paths takes its folder along. Equal data goes to the same place, and is sent once.

    Returns: `<uri>`, or `<uri>#<file>` for a table.
    Raises: ConfigError: the store is a directory of this machine, or `path` is not there. StoreError: the store fails.
    """
    if "://" not in settings.store:
        raise ConfigError(f"SLIPWAY_STORE: {settings.store} is a folder of this machine, which a pod does not have; use s3://…")
    path = path.expanduser()
    if not path.exists():
        raise ConfigError(f"data: {path} does not exist")
    whole = path.is_dir() or KINDS[family] == "image"
    source = path if path.is_dir() else path.parent
    with tempfile.TemporaryDirectory(prefix="slipway-upload-") as folder:
        target = Path(folder) / "raw"
        with files.atomic_dir(target) as scratch:
            if whole:
                shutil.copytree(source, scratch, dirs_exist_ok=True, copy_function=_link_or_copy)
            else:
                _link_or_copy(str(path), str(scratch / path.name))
        uri = open_store(settings.store).put_dir(target, f"raw/{files.read_manifest(target).digest}")
    return uri if path.is_dir() else f"{uri}#{path.name}"


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
