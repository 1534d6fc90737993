"""A store in a directory: the default, and the truth of a laptop's runs."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slipway.errors import BundleError, ConfigError, ConflictError, NotFoundError, StoreError
from slipway.store import files, keys
from slipway.store.keys import Entry

TRIES = 5
"""Of writing a file into a folder that others may delete at that moment."""


class LocalStore:
    """Artifacts below one directory. Safe for several processes at once; see `slipway.store.uri.Store` for the methods."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.uri = str(self.root)

    def put_dir(self, local: Path, key: str) -> str:
        """Copy a complete artifact in; it appears by one rename."""
        key = keys.checked(key)
        manifest = files.read_manifest(local)
        target = self.root / key
        if self._holds(target, manifest):
            return str(target)
        with self._io(key):
            try:
                with files.atomic_dir(target, expect=manifest, replace=False) as scratch:
                    _copy(local, scratch, manifest)
            except FileExistsError:
                self._holds(target, manifest)  # another process was quicker: fine if it brought the same
        return str(target)

    def get_dir(self, key: str, target: Path, *, replace: bool = True) -> Path:
        """Copy an artifact out, every sum checked."""
        manifest = self.manifest(key)
        with self._io(key), files.atomic_dir(target, expect=manifest, replace=replace) as scratch:
            _copy(self.root / keys.checked(key), scratch, manifest)
        return target

    def manifest(self, key: str) -> files.Manifest:
        """Names and sums of a complete artifact."""
        source = self.root / keys.checked(key)
        if not (source / files.MANIFEST).is_file():
            raise NotFoundError(f"{source}: no complete artifact there (no {files.MANIFEST})")
        return files.read_manifest(source)

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write one file, atomically; an existing one is replaced."""
        path = self.root / keys.checked(key)
        with self._io(key):
            for _ in range(TRIES - 1):
                with suppress(FileNotFoundError):  # its folder was just taken away, by gc: it is made again
                    files.write_bytes(path, data)
                    return
            files.write_bytes(path, data)

    def get_bytes(self, key: str) -> bytes:
        """The bytes of one file."""
        path = self.root / keys.checked(key)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as exc:
            raise NotFoundError(f"{path}: no such file in the store") from exc
        except OSError as exc:
            raise StoreError(f"{path}: cannot be read ({exc.strerror})") from exc

    def exists(self, key: str) -> bool:
        """Whether there is a file, or a complete artifact, of that key."""
        path = self.root / keys.checked(key)
        return path.is_file() or (path / files.MANIFEST).is_file()

    def keys(self, prefix: str = "") -> list[str]:
        """Keys of all files at or below the prefix, sorted."""
        prefix = keys.checked(prefix) if prefix else ""
        top = self.root / prefix
        if top.is_file():
            return [prefix]
        found: list[str] = []
        for folder, subfolders, names in os.walk(top):
            subfolders[:] = [n for n in subfolders if not files.is_scratch(n)]
            relative = Path(folder).relative_to(self.root)
            found += [(relative / n).as_posix() for n in names if not files.is_scratch(n)]
        return sorted(found)

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """Size and age of all files at or below the prefix."""
        found = {}
        for key in self.keys(prefix):
            with suppress(FileNotFoundError):  # deleted meanwhile
                stat = (self.root / key).stat()
                found[key] = Entry(stat.st_size, stat.st_mtime)
        return found

    def delete(self, prefix: str, *, unless: Callable[[], bool] | None = None) -> bool:
        """Remove everything at or below the prefix; it disappears at once, by a rename."""
        path = self.root / keys.checked(prefix)
        with self._io(prefix):
            return files.discard(path, unless=unless)

    def sweep(self, *, older_than_s: float, delete: bool) -> dict[str, int]:
        """Find, and delete, what killed processes left."""
        found = files.leftovers(self.root, older_than_s=older_than_s)
        if delete:
            for path in found:
                files.remove(path)
        return {path.relative_to(self.root).as_posix(): size for path, size in found.items()}

    def _holds(self, target: Path, manifest: files.Manifest) -> bool:
        """Whether exactly this artifact is at `target`. Raises: ConflictError: something else is."""
        if not target.exists():
            return False
        try:
            found = files.read_manifest(target).digest
        except BundleError as exc:
            if not target.exists():  # deleted between the two looks
                return False
            raise ConflictError(f"{target}: something is there that is no artifact; remove it or choose another key") from exc
        if found != manifest.digest:
            raise ConflictError(
                f"{target}: holds {found[:12]}, artifacts are immutable, got {manifest.digest[:12]}; choose another key"
            )
        return True

    @contextmanager
    def _io(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except OSError as exc:
            raise StoreError(f"{exc.filename or self.root / key}: {exc.strerror}; the store cannot be used") from exc


def _copy(source: Path, target: Path, manifest: files.Manifest) -> None:
    for name in manifest.files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source / name, target / name)
        except FileNotFoundError as exc:
            raise BundleError(f"{source / name}: missing, though {files.MANIFEST} lists it; make the artifact again") from exc


def parse(uri: str) -> Path:
    """The directory of a path or a `file://` URI.

    Raises: ConfigError: the URI names another machine, or is empty.
    """
    from urllib.parse import unquote, urlsplit

    if not uri.startswith("file://"):
        if not uri:
            raise ConfigError("store: empty; give a directory or s3://bucket/prefix")
        return Path(uri).expanduser().absolute()
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise ConfigError(f"store '{uri}': a file URI has an absolute path of this machine, as in file:///srv/slipway")
    return Path(unquote(parts.path))
