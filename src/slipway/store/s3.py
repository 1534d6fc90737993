"""A store in an S3 bucket, through the minio client. Credentials come from the client's own provider chain.

An artifact's data files go up first, each with its SHA-256 as metadata, MANIFEST.json last: a prefix without a manifest is
incomplete and not shown. The marker `.uploading` lies there meanwhile, so that listings can tell it from loose files.
"""

import hashlib
import io
import random
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from slipway.errors import ConfigError, ConflictError, NotFoundError, StoreError
from slipway.store import files, keys, s3_client
from slipway.store.keys import Entry

T = TypeVar("T")

MARKER = ".uploading"
DELETING_S = 900.0
"""How long a marker of a deletion is believed. S3 cannot delete "only if unchanged": an upload in between would lose files."""
THREADS = 4
"""Transfers at a time: the copy of a bundle is bound by the few large files in it."""
PART_BYTES = 64 << 20
"""Larger files go up in parts of this size; each thread holds one part in memory."""


class S3Store:
    """Artifacts below `s3://bucket/prefix`. Safe for several threads; see `slipway.store.uri.Store` for the methods."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str = "",
        retry_s: float = 30.0,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            credentials: access key and secret key; None: the client's own chain.
            endpoint: such as http://127.0.0.1:9000; empty means AWS.
            retry_s: how long a request that fails for a reason that may go away is tried again, in seconds.
        Raises: ConfigError: the endpoint or the bucket name is malformed.
        """
        self.bucket = bucket
        self.prefix = keys.checked(prefix) if prefix.strip("/") else ""
        self.endpoint = endpoint or "https://s3.amazonaws.com"
        self.uri = f"s3://{bucket}/{self.prefix}".rstrip("/")
        self._retry_s = retry_s
        self._client = s3_client.connect(self.endpoint, connections=THREADS, keys=credentials)
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
            raise ConfigError(f"store '{self.uri}': bucket '{bucket}' must be 3 to 63 characters of a-z, 0-9, '.' and '-'")

    def put_dir(self, local: Path, key: str) -> str:
        """Upload a complete artifact; what an interrupted upload left there is used."""
        key = keys.checked(key)
        manifest = files.verify(local)
        if self._holds(key, manifest):
            return f"{self.uri}/{key}"
        remote = self._objects(key)
        if remote and f"{key}/{MARKER}" not in remote:
            raise ConflictError(f"{self.uri}/{key}: something is there that is no artifact; remove it or choose another key")
        mark = remote.get(f"{key}/{MARKER}")
        if mark and not mark.bytes and time.time() - mark.modified < DELETING_S:
            raise StoreError(f"{self.uri}/{key}: is being deleted (slipway gc); try again in {DELETING_S // 60:.0f} minutes")
        self.put_bytes(f"{key}/{MARKER}", manifest.digest.encode())
        for stale in remote.keys() - {f"{key}/{name}" for name in manifest.files} - {f"{key}/{MARKER}"}:
            self._remove([stale])  # of an upload of other content that was never finished

        def upload(name: str) -> None:
            sha256, size = manifest.files[name]
            there = f"{key}/{name}"
            if not (there in remote and remote[there].bytes == size and self._sha256(there) == sha256):
                self._put(there, lambda: (local / name).open("rb"), size, sha256)

        self._parallel(upload, manifest.files)
        if not self._holds(key, manifest):  # another process may have been quicker
            self.put_bytes(f"{key}/{files.MANIFEST}", (local / files.MANIFEST).read_bytes())
        while not self._agrees(key):  # of two writers at once, the volatile files are one's and the manifest the other's
            for name in (*filter(files.is_volatile, manifest.files), files.MANIFEST):
                self.put_bytes(f"{key}/{name}", (local / name).read_bytes())
        self._remove([f"{key}/{MARKER}"])
        return f"{self.uri}/{key}"

    def get_dir(self, key: str, target: Path, *, replace: bool = True) -> Path:
        """Download an artifact, every sum checked."""
        key = keys.checked(key)
        manifest = self.manifest(key)
        with files.atomic_dir(target, expect=manifest, replace=replace) as scratch:

            def download(name: str) -> None:
                path = scratch / name
                path.parent.mkdir(parents=True, exist_ok=True)
                self._call("read", f"{key}/{name}", lambda: self._save(f"{key}/{name}", path))

            self._parallel(download, manifest.files)
        return target

    def manifest(self, key: str) -> files.Manifest:
        """Names and sums of a complete artifact."""
        key = keys.checked(key)
        try:
            data = self.get_bytes(f"{key}/{files.MANIFEST}")
        except NotFoundError as exc:
            raise NotFoundError(f"{self.uri}/{key}: no complete artifact there (no {files.MANIFEST})") from exc
        return files.parse_manifest(data, f"{self.uri}/{key}")

    def put_bytes(self, key: str, data: bytes) -> None:
        """Write one object, atomically; an existing one is replaced."""
        self._put(keys.checked(key), lambda: io.BytesIO(data), len(data), hashlib.sha256(data).hexdigest())

    def get_bytes(self, key: str) -> bytes:
        """The bytes of one object."""
        key = keys.checked(key)

        def read() -> bytes:
            response = self._client.get_object(self.bucket, self._name(key))
            try:
                return bytes(response.read())
            finally:
                response.close()
                response.release_conn()

        return self._call("read", key, read)

    def exists(self, key: str) -> bool:
        """Whether there is an object, or a complete artifact, of that key."""
        key = keys.checked(key)
        return self._stat(key) is not None or self._stat(f"{key}/{files.MANIFEST}") is not None

    def keys(self, prefix: str = "") -> list[str]:
        """Keys of all objects at or below the prefix, sorted, without those of unfinished artifacts."""
        return sorted(self.entries(prefix))

    def entries(self, prefix: str = "") -> dict[str, Entry]:
        """Size and age of all objects at or below the prefix, without those of unfinished artifacts."""
        prefix = keys.checked(prefix) if prefix else ""
        found = self._objects(prefix)
        if not found and prefix and (stat := self._stat(prefix)) is not None:
            return {prefix: Entry(stat.size, stat.last_modified.timestamp())}
        partial = tuple(_unfinished(found))
        return {k: e for k, e in found.items() if not k.endswith(f"/{MARKER}") and not k.startswith(partial)}

    def delete(self, prefix: str, *, unless: Callable[[], bool] | None = None) -> bool:
        """Remove everything at or below the prefix; manifests first, so that no artifact is ever seen in part."""
        prefix = keys.checked(prefix)
        found = {*self._objects(prefix), prefix}  # the prefix may be an object itself
        manifests = [k for k in found if k.endswith(f"/{files.MANIFEST}")]
        markers = [k.removesuffix(files.MANIFEST) + MARKER for k in manifests]
        content = {k: self.get_bytes(k) for k in manifests} if unless else {}
        for marker in markers:
            self.put_bytes(marker, b"")
        self._remove(manifests)
        wanted = True
        try:
            wanted = unless is not None and unless()
        finally:
            if wanted:
                for key, data in content.items():
                    self.put_bytes(key, data)
                self._remove(markers)
        if wanted:
            return False
        self._remove([k for k in found if k not in manifests and not k.endswith(f"/{MARKER}")])
        self._remove({*markers, *(k for k in found if k.endswith(f"/{MARKER}"))})
        return True

    def sweep(self, *, older_than_s: float, delete: bool) -> dict[str, int]:
        """Find, and delete, prefixes of uploads and deletions that were never finished."""
        found = self._objects("")
        swept: dict[str, int] = {}
        for prefix in _unfinished(found):
            inside = {k: e for k, e in found.items() if k.startswith(prefix)}
            newest = max(e.modified for e in inside.values())
            outgoing = found[prefix + MARKER].bytes == 0  # an upload's marker holds a digest
            if outgoing or time.time() - newest >= older_than_s:
                swept[prefix.rstrip("/")] = sum(e.bytes for e in inside.values())
        if delete:
            for prefix in swept:
                self.delete(prefix)
        return swept

    def _agrees(self, key: str) -> bool:
        """Whether the volatile files are those that the manifest there lists; of the others all writers bring the same."""
        for name, (sha256, _) in self.manifest(key).files.items():
            if files.is_volatile(name):
                try:
                    data = self.get_bytes(f"{key}/{name}")
                except NotFoundError:
                    return False
                if hashlib.sha256(data).hexdigest() != sha256:
                    return False
        return True

    def _holds(self, key: str, manifest: files.Manifest) -> bool:
        """Whether exactly this artifact is there. Raises: ConflictError: another complete one is."""
        try:
            found = self.manifest(key).digest
        except NotFoundError:
            return False
        if found != manifest.digest:
            raise ConflictError(
                f"{self.uri}/{key}: holds {found[:12]}, artifacts are immutable, got {manifest.digest[:12]}; choose another key"
            )
        return True

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _objects(self, prefix: str) -> dict[str, Entry]:
        """Key -> size and age of every object below the prefix, markers included."""
        top = self._name(prefix) + "/" if prefix else self.prefix and self.prefix + "/"
        cut = len(self.prefix) + 1 if self.prefix else 0

        def listing() -> dict[str, Entry]:
            listed = self._client.list_objects(self.bucket, prefix=top, recursive=True)
            return {o.object_name[cut:]: Entry(o.size, o.last_modified.timestamp()) for o in listed}

        return self._call("list", prefix, listing)

    def _stat(self, key: str) -> Any:
        try:
            return self._call("look at", key, lambda: self._client.stat_object(self.bucket, self._name(key)))
        except NotFoundError:
            return None

    def _sha256(self, key: str) -> str:
        stat = self._stat(key)
        return str(stat.metadata.get("x-amz-meta-sha256", "")) if stat else ""

    def _put(self, key: str, source: Callable[[], Any], size: int, sha256: str) -> None:
        def put() -> None:
            with source() as stream:
                self._client.put_object(
                    self.bucket,
                    self._name(key),
                    stream,
                    size,
                    metadata={"sha256": sha256},
                    part_size=PART_BYTES,
                    num_parallel_uploads=1,
                )

        self._call("write", key, put)

    def _save(self, key: str, path: Path) -> None:
        response = self._client.get_object(self.bucket, self._name(key))
        try:
            with path.open("wb") as f:
                for chunk in response.stream(1 << 20):
                    f.write(chunk)
        finally:
            response.close()
            response.release_conn()

    def _remove(self, names: Iterable[str]) -> None:
        from minio.deleteobjects import DeleteObject

        def remove() -> None:
            objects = [DeleteObject(self._name(k)) for k in names]
            for error in self._client.remove_objects(self.bucket, objects):
                raise StoreError(f"{self.endpoint}: may not delete s3://{self.bucket}/{error.name} ({error.code})")

        self._call("delete", "", remove)

    def _parallel(self, action: Callable[[str], None], names: Iterable[str]) -> None:
        """Run the action for each name on a few threads; the first failure stops the rest and is raised."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="s3") as pool:
            futures = [pool.submit(action, name) for name in names]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _call(self, verb: str, key: str, action: Callable[[], T]) -> T:
        """Run one request; what may go away by itself is tried again for `retry_s`, with growing pauses."""
        from minio.error import MinioException
        from urllib3.exceptions import HTTPError

        deadline = time.monotonic() + self._retry_s
        pause_s = 0.2
        while True:
            try:
                return action()
            except (MinioException, HTTPError, ValueError) as exc:
                error, transient = s3_client.explain(exc, self.endpoint, self.bucket, verb, f"{self.uri}/{key}".rstrip("/"))
                if not transient or time.monotonic() + pause_s > deadline:
                    raise error from exc
            time.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, 5.0)


def _unfinished(found: Iterable[str]) -> set[str]:
    """Prefixes, with their closing slash, that have a marker and no manifest."""
    present = set(found)
    marked = {k.removesuffix(MARKER) for k in present if k.endswith(f"/{MARKER}")}
    return {m for m in marked if m + files.MANIFEST not in present}
