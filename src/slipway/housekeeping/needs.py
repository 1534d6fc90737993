"""What the registry needs of the store: found first, so that everything else may be judged."""

import json
from dataclasses import dataclass

from slipway.bundle import RELEASE
from slipway.runs import record
from slipway.settings import Settings
from slipway.store.keys import Entry
from slipway.store.uri import Store
from slipway.tracking import registry
from slipway.tracking.registry import ModelVersion

Group = dict[str, Entry]


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """The store as the registry sees it."""

    surplus: list[ModelVersion]
    """Versions that may go: no alias, old, not among the newest; and what an earlier, killed call retired."""
    releases: dict[str, Group]
    """Key of every release in the store -> its files."""
    unregistered: list[str]
    """Keys of old releases that no version names. Of models that this registry does not know, none: another one may."""
    evaluations: dict[str, Group]
    """Bundle digest -> files of its old evaluations, where no release that stays has that bundle."""
    records: dict[str, Group]
    """Run id -> files of its record."""
    runs: set[str]
    """Ids of the runs that made what stays, as far as the registry tells."""
    running: set[str]
    """Ids of the runs whose record says that a step is running."""
    digests: set[str]
    """Of the releases that stay."""
    unknown: list[str]
    """Names of models in the store that this registry does not know: left alone, with all runs."""


def look(store: Store, settings: Settings, keep_versions: int, before: float) -> Needs:
    """Read the registry, then the store.

    In this order: what is registered later is in the store later, and so younger than `before`, or, where an old release is
    registered again, found by the second look of the deletion itself.

    Args:
        before: seconds since 1970; what is younger stays.
    """
    known = {name: registry.versions(name, settings=settings) for name in registry.names(settings=settings)}
    releases = _groups(store.entries("models"), 3)
    stay: list[ModelVersion] = []
    surplus: list[ModelVersion] = []
    for versions in known.values():
        newest = {v.version for v in versions[len(versions) - keep_versions :]} if keep_versions else set()
        for v in versions:
            here = v.release_uri == f"{store.uri}/models/{v.name}/{v.release_digest}"
            old = v.retired or (v.version not in newest and v.created.timestamp() < before)
            (surplus if here and old and not v.aliases else stay).append(v)
    named = {f"models/{v.name}/{v.release_digest}" for v in (*stay, *surplus)}
    unnamed = {key: group for key, group in releases.items() if key not in named}
    unregistered = [k for k, group in unnamed.items() if k.split("/")[1] in known and _newest(group) < before]
    unknown = sorted({k.split("/")[1] for k in unnamed} - known.keys())
    bundles = {v.bundle_digest for v in stay}
    bundles |= {_bundle(store, k) for k in unnamed.keys() - set(unregistered)}
    evaluations = _groups(store.entries("evaluations"), 2)
    records = _groups(store.entries("runs"), 2)
    ids = {key.split("/")[1] for key in records}
    return Needs(
        surplus=surplus,
        releases=releases,
        unregistered=unregistered,
        evaluations={
            digest: group
            for key, group in evaluations.items()
            if (digest := key.split("/")[1]) not in bundles and _newest(group) < before
        },
        records={key.split("/")[1]: group for key, group in records.items()},
        runs={v.run_id for v in stay} | (ids if unknown else set()),
        running={run for run in ids if record.summary(store, run).status == record.RUNNING},
        digests={v.release_digest for v in stay},
        unknown=unknown,
    )


def _groups(entries: Group, depth: int) -> dict[str, Group]:
    """Files by the first `depth` parts of their key; what is not that deep belongs to none."""
    found: dict[str, Group] = {}
    for key, entry in entries.items():
        parts = key.split("/")
        if len(parts) > depth:
            found.setdefault("/".join(parts[:depth]), {})[key] = entry
    return found


def _newest(group: Group) -> float:
    return max(e.modified for e in group.values())


def _bundle(store: Store, key: str) -> str:
    """The bundle that a release was made of."""
    return str(json.loads(store.get_bytes(f"{key}/{RELEASE}"))["bundle"])
