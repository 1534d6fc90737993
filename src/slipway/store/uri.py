"""From a URI to a store, and from an artifact's URI to a verified local directory."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from slipway.errors import BundleError, ConfigError, NotFoundError
from slipway.store import files, keys, local
from slipway.store.keys import Entry


class Store(Protocol):
    """Artifacts and small files by key. What a method shows is complete: unfinished artifacts are invisible.

    Every method raises StoreError when the store does not answer or refuses, and ConfigError for a malformed key.
    """

    uri: str
    """The root: an absolute path, or s3://bucket/prefix."""

    def put_dir(self, local: Path, key: str) -> str:
        """Store a complete artifact (a directory with a manifest) and return its URI; there already: nothing to do.

        A killed call leaves nothing visible; called again, it completes.

        Raises:
            ConflictError: another artifact, or something that is none, is at `key`.
            BundleError: `local` is incomplete or altered.
        """
        ...

    def get_dir(self, key: str, target: Path, *, replace: bool = True) -> Path:
        """Copy an artifact to `target`, which is absent or complete at any time; returns `target`.

        Raises:
            NotFoundError: no complete artifact is there.
            BundleError: a file does not have its sum.
            FileExistsError: `target` is there and `replace` is False.
        """
        ...

    def manifest(self, key: str) -> files.Manifest:
        """Names, sizes and sums of a complete artifact. Raises: NotFoundError."""
        ...

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write one file; a reader sees the old bytes or the new ones."""
        ...

    def get_bytes(self, key: str) -> bytes:
        """The bytes of one file. Raises: NotFoundError."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is a file, or a complete artifact, of that key."""
        ...

    def keys(self, prefix: str = "") -> list[str]:
        """Keys of all files at or below the prefix (a path, not a fragment of a name), sorted."""
        ...

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """Size and age of what `keys` lists."""
        ...

    def delete(self, prefix: str, *, unless: Callable[[], bool] | None = None) -> bool:
        """Remove everything at or below the prefix; nothing there is fine. A killed call leaves an artifact whole or invisible.

        Args:
            unless: asked once the artifacts are invisible, and before anything is lost: True, or an error, puts them back.
        Returns: whether they are gone.
        """
        ...

    def sweep(self, *, older_than_s: float, delete: bool) -> dict[str, int]:
        """What killed writers left and nobody sees: name -> bytes; removed where `delete` is True.

        Args:
            older_than_s: unfinished artifacts that were written to more recently may still be at work, and are left alone.
        """
        ...


def open_store(uri: str) -> Store:
    """The store of a directory path, a file:// URI or s3://bucket/prefix.

    The S3 server is the one of the settings; credentials come from the minio client's own chain (environment, ~/.aws,
    the pod's role).

    Raises: ConfigError: the URI or the endpoint is malformed.
    """
    if uri.startswith("s3://"):
        from slipway import settings
        from slipway.store.s3 import S3Store

        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        return S3Store(bucket, prefix.strip("/"), endpoint=settings.load().s3_endpoint)
    if "://" in uri and not uri.startswith("file://"):
        raise ConfigError(f"store '{uri}': unknown scheme '{uri.partition('://')[0]}'; use a directory, file:// or s3://")
    return local.LocalStore(local.parse(uri))


def locate(uri: str) -> tuple[Store, str]:
    """The store that an artifact's s3:// URI lies in, and its key there.

    Raises: ConfigError: the URI names a bucket, or is malformed.
    """
    root, _, key = uri.rstrip("/").rpartition("/")
    if root in ("s3:/", "s3:"):
        raise ConfigError(f"'{uri}': names a bucket, not an artifact; give s3://bucket/path/to/artifact")
    return open_store(root), keys.checked(key)


def fetch(uri: str, into: Path) -> Path:
    """A verified local directory of the artifact at `uri`.

    A local one is verified in place and returned as it is. One in S3 is copied to `into/<digest>`, once: a valid copy
    found there is used, a damaged one replaced.

    Raises:
        NotFoundError: there is no complete artifact.
        BundleError: a file is missing, altered, or not in the manifest.
        StoreError: the store does not answer or refuses.
    """
    if not uri.startswith("s3://"):
        path = local.parse(uri)
        if not path.is_dir():
            raise NotFoundError(f"{path}: no such directory; give the path or s3:// URI of a complete artifact")
        files.verify(path)
        return path
    store, key = locate(uri)
    digest = store.manifest(key).digest
    target = into / digest
    if _valid(target, digest):
        os.utime(target)  # in use: `slipway gc` goes by it
        return target
    damaged = target.exists()
    try:
        return store.get_dir(key, target, replace=damaged)
    except FileExistsError:  # another process fetched it meanwhile
        files.verify(target)
        return target


def _valid(path: Path, digest: str) -> bool:
    try:
        return files.verify(path).digest == digest
    except BundleError:
        return False
