"""A copy of registry and store that a restored home can serve from.

A backup is a store of its own: a directory, or s3://bucket/prefix. Everything in it is immutable and named by what it holds:
the artifacts of `models/` and `evaluations/` with their manifests, all other files (the registry's database, MLflow's
artifacts, run records) as `blobs/<SHA-256>`. BACKUP.json names them and is written last, by one replacement: a killed backup
leaves the one before, and the next call goes on with what is there.

The registry is read first. A release is stored before it is registered, so every version of the snapshot finds its release
in the copy that is made after it; one that `slipway gc` takes in between is noticed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.errors import BundleError, ConfigError, ConflictError, NotFoundError
from slipway.runs.step import scratch
from slipway.settings import Settings
from slipway.store import files, keys
from slipway.store.uri import Store, fetch, open_store
from slipway.tracking import client, database, registry

INDEX = "BACKUP.json"
FORMAT = 1
ARTIFACTS = {"models": 3, "evaluations": 3}
"""Rooms of the store that are copied, and how many parts the key of an artifact in them has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What a backup holds, or a restore brought."""

    artifacts: int
    """Releases, scores and verdicts."""
    runs: int
    versions: int
    """Of registered models; 0 where the registry is not part of it."""
    registry: bool
    """Whether the registry is part of it: a SQLite database is, one behind a server has backups of its own."""


def back_up(settings: Settings, target: str) -> Done:
    """Copy registry and store to `target`, a directory or s3:// URI; the same target again copies what is new.

    Raises:
        BundleError: an artifact of the store is damaged; the message names the file.
        ConflictError: a release went away meanwhile; run it again.
    """
    source, backup = open_store(settings.store), open_store(target)
    if backup.uri == source.uri or backup.uri.startswith(f"{source.uri}/"):
        raise ConfigError(f"{target}: lies in the store itself; name another directory or s3:// URI")
    with scratch(settings) as folder:
        blobs: dict[str, str] = {}
        place = _database(settings)
        if place is not None:
            snapshot = folder / "mlflow.db"
            database.snapshot(settings.tracking_uri, snapshot)
            blobs["mlflow.db"] = _put(backup, snapshot.read_bytes())
            for path in sorted(p for p in (settings.home / "mlartifacts").rglob("*") if p.is_file()):
                blobs[path.relative_to(settings.home).as_posix()] = _put(backup, path.read_bytes())
        artifacts = {}
        for key in _artifacts(source):
            artifacts[key] = source.manifest(key).digest
            if not (backup.exists(key) and backup.manifest(key).digest == artifacts[key]):
                backup.put_dir(fetch(f"{source.uri}/{key}", folder / "fetched"), key)
        versions = _check(settings, snapshot, artifacts, source.uri) if place is not None else 0
        for key in source.keys("runs"):
            blobs[key] = _put(backup, source.get_bytes(key))
    index = {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "store": source.uri,
        "home": str(settings.home),
        "registry": place is not None,
        "artifacts": artifacts,
        "blobs": blobs,
    }
    backup.put_bytes(INDEX, (json.dumps(index, indent=2, ensure_ascii=False) + "\n").encode())
    for key in set(backup.keys("blobs")) - {f"blobs/{digest}" for digest in blobs.values()}:
        backup.delete(key)  # of backups before; a release that went from the store stays, it may be what is looked for
    return Done(artifacts=len(artifacts), runs=_runs(blobs), versions=versions, registry=place is not None)


def restore(settings: Settings, source: str, *, replace_registry: bool = False) -> Done:
    """Bring a backup into the home and store of the settings, every sum checked; the registry appears last, by one rename.

    Paths in the registry are rewritten to where things lie now. A killed call goes on when it is run again.

    Args:
        replace_registry: a registry that is there gives way, and the store keeps what it has; otherwise both must be empty.
    Raises:
        NotFoundError: there is no backup.
        BundleError: a file is missing or altered.
        ConflictError: something is there already.
        ConfigError: the registry, which is behind a server, would point to another store than the one restored.
    """
    backup, store = open_store(source), open_store(settings.store)
    index = _index(backup)
    place = _database(settings)
    if index["registry"] and place is None:
        where = client.redacted(settings.tracking_uri)
        raise ConfigError(
            f"MLFLOW_TRACKING_URI: the backup holds a SQLite registry, got {where}; unset it, or use sqlite:///path"
        )
    if not index["registry"] and store.uri != index["store"]:
        raise ConfigError(
            f"SLIPWAY_STORE: the registry is not in this backup and points to {index['store']}, got {store.uri}; restore there"
        )
    _refuse_other(store, place, index, replace_registry)
    with scratch(settings) as folder:
        for key, digest in index["artifacts"].items():
            if not (store.exists(key) and store.manifest(key).digest == digest):
                path = fetch(f"{backup.uri}/{key}", folder / "fetched")
                if files.read_manifest(path).digest != digest:
                    raise BundleError(f"{backup.uri}/{key}: not the artifact that {INDEX} names; make the backup again")
                store.put_dir(path, key)
        for name, sha256 in index["blobs"].items():
            data = _get(backup, name, sha256)
            if name.startswith("runs/"):
                store.put_bytes(name, data)
            elif name == "mlflow.db":
                (folder / name).write_bytes(data)
            else:
                files.write_bytes(settings.home / keys.checked(name), data)
        versions = 0
        if place is not None and index["registry"]:
            snapshot = folder / "mlflow.db"
            old, new = Path(index["home"]) / "mlartifacts", settings.home / "mlartifacts"
            database.move(snapshot, {index["store"]: store.uri, old.as_uri(): new.as_uri(), str(old): str(new)})
            versions = _check(settings, snapshot, index["artifacts"], store.uri)
            place.parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(place, snapshot.read_bytes())
    return Done(
        artifacts=len(index["artifacts"]), runs=_runs(index["blobs"]), versions=versions, registry=bool(index["registry"])
    )


def _check(settings: Settings, snapshot: Path, artifacts: Mapping[str, str], store_uri: str) -> int:
    """The number of versions in the snapshot. Raises: ConflictError: one points to a release that is no artifact."""
    there = replace(settings, tracking_uri=f"{database.PREFIX}{snapshot}")
    versions = [v for name in registry.names(settings=there) for v in registry.versions(name, settings=there)]
    for v in versions:
        key = v.release_uri.removeprefix(f"{store_uri}/")
        if artifacts.get(key) != v.release_digest:
            raise ConflictError(
                f"model {v.name}: version {v.version} points to {v.release_uri}, which is not in {store_uri}; "
                f"if slipway gc ran meanwhile, run this again"
            )
    return len(versions)


def _refuse_other(store: Store, place: Path | None, index: Mapping[str, Any], replace_registry: bool) -> None:
    """A store that holds nothing but parts of this backup is a restore that was killed: it goes on."""
    if replace_registry:
        return
    if place is not None and place.exists():
        raise ConflictError(f"{place}: a registry is there already; choose another SLIPWAY_HOME, or --replace it")
    known = {*index["artifacts"], *(name for name in index["blobs"] if name.startswith("runs/"))}
    here = {*_artifacts(store), *store.keys("runs")}
    if other := sorted(here - known):
        raise ConflictError(
            f"{store.uri}: not empty ({other[0]} and {len(other) - 1} more are not of this backup); choose another "
            f"SLIPWAY_HOME, or add to it by --replace"
        )


def _artifacts(store: Store) -> list[str]:
    """Keys of the complete artifacts that a backup holds."""
    found = []
    for room, depth in ARTIFACTS.items():
        for key in store.keys(room):
            parts = key.split("/")
            if len(parts) == depth + 1 and parts[-1] == files.MANIFEST:
                found.append("/".join(parts[:-1]))
    return found


def _database(settings: Settings) -> Path | None:
    """The registry's SQLite file; None where a server has the registry."""
    if not settings.tracking_uri.startswith(database.PREFIX):
        return None
    return Path(settings.tracking_uri.removeprefix(database.PREFIX))


def _index(backup: Store) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads(backup.get_bytes(INDEX))
        if index["format"] != FORMAT:
            raise BundleError(f"{backup.uri}/{INDEX}: format {index['format']}, this version reads {FORMAT}; upgrade slipway")
    except NotFoundError as exc:
        raise NotFoundError(f"{backup.uri}: no complete backup there (no {INDEX}); slipway backup makes one") from exc
    except BundleError:
        raise
    except (ValueError, KeyError, TypeError) as exc:
        raise BundleError(f"{backup.uri}/{INDEX}: damaged ({type(exc).__name__}: {exc}); make the backup again") from exc
    return index


def _put(backup: Store, data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    if not backup.exists(f"blobs/{sha256}"):
        backup.put_bytes(f"blobs/{sha256}", data)
    return sha256


def _get(backup: Store, name: str, sha256: str) -> bytes:
    try:
        data = backup.get_bytes(f"blobs/{sha256}")
    except NotFoundError as exc:
        raise BundleError(f"{backup.uri}/blobs/{sha256}: missing ({name}); make the backup again") from exc
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BundleError(f"{backup.uri}/blobs/{sha256}: altered ({name}); make the backup again")
    return data


def _runs(blobs: Mapping[str, str]) -> int:
    return len({name.split("/")[1] for name in blobs if name.startswith("runs/")})
