"""What nothing needs any more in the store and the local home, and how it goes.

Safe while runs go on. A run writes its release to the store, registers it, and then writes it again, should it have gone. It is
collected in the opposite order: forgotten by the registry, taken out of sight in the store, and then the registry is read once
more: did a run register it meanwhile, it is put back. Each side acts first and looks afterwards, so of two at once, at least
one sees the other. A version is never deleted while an alias points at it (`registry.retire`). A kill leaves a release that no
version names, or something invisible; the next call takes both.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from slipway.errors import ConfigError
from slipway.housekeeping.needs import Needs, look
from slipway.runs import local as local_runs
from slipway.settings import Settings
from slipway.store import files
from slipway.store.keys import Entry
from slipway.store.uri import Store, open_store
from slipway.tracking import registry
from slipway.tracking.registry import ModelVersion

HOUR_S, DAY_S = 3600.0, 86400.0
UNFINISHED_S = DAY_S
"""Unfinished artifacts go when nothing was written to them for so long: one of another machine may still be at work."""
STALLED_S = 7 * DAY_S
"""A run whose record says `running` is believed for so long after its last sign of life: a killed one says so for ever."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What may go."""

    older_than_s: float = 30 * DAY_S
    """Nothing younger goes, in seconds, >= 3600: a run that is about to register must find what it wrote."""
    keep_versions: int = 3
    """The newest versions of each model stay, alias or not; >= 0."""
    downloads: bool = False
    """Data sets that were downloaded to the home may go, too."""

    def __post_init__(self) -> None:
        if self.older_than_s < HOUR_S:
            raise ConfigError(
                f"older than: must be at least 1h, got {self.older_than_s:g} s; a run may be registering right now"
            )
        if self.keep_versions < 0:
            raise ConfigError(f"keep versions: must be >= 0, got {self.keep_versions}")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that may go."""

    kind: str
    """version, release, evaluations, run, state, cache, download or leftovers."""
    what: str
    """Where it is: a key of the store, or a path."""
    why: str
    bytes: int
    remove: Callable[[], bool] = field(compare=False, repr=False)
    """Looks again and deletes; False: something needs it by now. Repeatable after a kill."""


def plan(settings: Settings, policy: Policy) -> tuple[list[Item], list[str]]:
    """What may go, in the order it must; nothing is changed.

    Returns: the items, and names of models in the store that this registry does not know: those are left alone.
    Raises:
        TrackingError: without the registry nothing can be said.
        StoreError: the store does not answer.
    """
    store = open_store(settings.store)
    now = time.time()
    needs = look(store, settings, policy.keep_versions, now - policy.older_than_s)
    items = [*_releases(store, settings, needs), *_evaluations(store, settings, needs)]
    items += [*_runs(store, settings, policy, needs), *_states(store, policy, needs)]
    items += [*_home(settings, policy, needs), *_leftovers(store, settings, policy)]
    return items, needs.unknown


def _releases(store: Store, settings: Settings, needs: Needs) -> Iterator[Item]:
    for version in needs.surplus:
        key = f"models/{version.name}/{version.release_digest}"
        size = _bytes(needs.releases.get(key, {}))

        def remove(version: ModelVersion = version, key: str = key) -> bool:
            gone = registry.retire(version.name, version.version, settings=settings)
            return gone and _withdraw(store, key, settings)

        yield Item("version", f"{version.name}:{version.version}", "no alias", size, remove)
    for key in needs.unregistered:

        def discard(key: str = key) -> bool:
            return _withdraw(store, key, settings)

        yield Item("release", key, "no version in the registry", _bytes(needs.releases[key]), discard)


def _withdraw(store: Store, key: str, settings: Settings) -> bool:
    _, name, digest = key.split("/")

    def registered() -> bool:
        known = registry.versions(name, settings=settings) if name in registry.names(settings=settings) else []
        return any(v.release_digest == digest for v in known)

    return not registered() and store.delete(key, unless=registered)


def _evaluations(store: Store, settings: Settings, needs: Needs) -> Iterator[Item]:
    for bundle, entries in needs.evaluations.items():

        def remove(bundle: str = bundle) -> bool:
            def wanted() -> bool:
                return any(
                    v.bundle_digest == bundle
                    for name in registry.names(settings=settings)
                    for v in registry.versions(name, settings=settings)
                )

            return not wanted() and store.delete(f"evaluations/{bundle}", unless=wanted)

        yield Item("evaluations", f"evaluations/{bundle}", "no release of that bundle", _bytes(entries), remove)


def _runs(store: Store, settings: Settings, policy: Policy, needs: Needs) -> Iterator[Item]:
    def old(run_id: str) -> bool:
        """Looked at twice: when planned, and right before the deletion."""
        entries = store.entries(f"runs/{run_id}").values()
        folder = settings.home / "runs" / run_id
        times = [e.modified for e in entries] + ([files.measure(folder)[1]] if folder.is_dir() else [])
        patience = policy.older_than_s
        if run_id in needs.running:
            patience = max(patience, STALLED_S)
        return bool(times) and time.time() - max(times) >= patience and not local_runs.going(folder)

    folders = settings.home / "runs"
    here = {p.parent.name for p in folders.glob("*/request.json") if not files.is_scratch(p.parent.name)}
    for run_id in sorted((needs.records.keys() | here) - needs.runs):
        if not old(run_id):
            continue
        folder = folders / run_id
        size = _bytes(needs.records.get(run_id, {})) + (files.measure(folder)[0] if folder.is_dir() else 0)

        def remove(run_id: str = run_id, folder: Path = folder) -> bool:
            if not old(run_id):
                return False
            files.discard(folder)  # the record last: it is what the next call finds the folder by
            return store.delete(f"runs/{run_id}") if run_id in needs.records else True

        yield Item("run", f"runs/{run_id}", "no registered version came of it", size, remove)


def _states(store: Store, policy: Policy, needs: Needs) -> Iterator[Item]:
    patience = max(policy.older_than_s, STALLED_S) if needs.running else policy.older_than_s
    for key, entry in store.entries("checkpoints").items():
        prefix = key.rpartition("/")[0]

        def old(key: str = key) -> bool:
            entries = store.entries(key).values()
            return all(time.time() - e.modified >= patience for e in entries)

        def remove(old: Callable[[], bool] = old, prefix: str = prefix) -> bool:
            return old() and store.delete(prefix)

        if old():
            yield Item("state", prefix, "training never went on from it", entry.bytes, remove)


def _home(settings: Settings, policy: Policy, needs: Needs) -> Iterator[Item]:
    """Copies that can be fetched again; the age of a fetched artifact is that of its last use."""
    places = [("cache", "cache", "fetched, not used since"), ("cache", "outgoing", "published, or killed before it was")]
    if policy.downloads:
        places.append(("download", "data", "downloaded, not changed since"))
    for kind, place, why in places:
        folder = settings.home / place
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:

            def old(path: Path = path) -> bool:
                return path.exists() and time.time() - files.measure(path)[1] >= policy.older_than_s

            def remove(path: Path = path, old: Callable[[], bool] = old) -> bool:
                return old() and files.discard(path)

            if path.name not in needs.digests and not files.is_scratch(path.name) and old():
                yield Item(kind, str(path), why, files.measure(path)[0], remove)


def _leftovers(store: Store, settings: Settings, policy: Policy) -> Iterator[Item]:
    patience = min(policy.older_than_s, UNFINISHED_S)
    if found := store.sweep(older_than_s=patience, delete=False):
        why = f"{len(found)} that killed writers left"

        def sweep() -> bool:
            store.sweep(older_than_s=patience, delete=True)
            return True

        yield Item("leftovers", store.uri, why, sum(found.values()), sweep)
    for place in ("cache", "outgoing", "runs", "data", "environments"):
        folder = settings.home / place
        if left := files.leftovers(folder, older_than_s=patience):

            def clear(left: Iterable[Path] = tuple(left)) -> bool:
                for path in left:
                    files.remove(path)
                return True

            yield Item("leftovers", str(folder), f"{len(left)} that killed steps left", sum(left.values()), clear)


def _bytes(entries: dict[str, Entry]) -> int:
    return sum(e.bytes for e in entries.values())
