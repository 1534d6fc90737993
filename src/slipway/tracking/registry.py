"""Registered models: a version per release, the aliases `challenger` and `champion`.

A version's truth is in its tags and in the store; MLflow's own `source` points at the release where MLflow allows it.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from slipway import settings as settings_module
from slipway.errors import ConfigError, ConflictError, NotFoundError, unknown
from slipway.settings import Settings
from slipway.tracking import client, runs

CHAMPION, CHALLENGER = "champion", "challenger"
OURS = "slipway"
"""Tag of the registered models that Slipway made; others of a shared server are not shown."""
URI, DIGEST, BUNDLE, ACCURACY = "slipway.release_uri", "slipway.release_digest", "slipway.bundle_digest", "slipway.accuracy"
RETIRED = "slipway.retired"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelVersion:
    """A registered release."""

    name: str
    version: int
    release_uri: str
    """Where the release is: an absolute path or s3://bucket/prefix."""
    release_digest: str
    bundle_digest: str
    aliases: tuple[str, ...]
    """Sorted; `champion` is served, `challenger` is what the last passing gate let in."""
    run_id: str
    """Slipway's id of the run that made it."""
    accuracy: float | None
    """On the test split, in [0, 1]; None where it was not given."""
    created: datetime
    """UTC."""
    retired: bool = False
    """`retire` is about to delete it: nothing may point an alias at it any more."""


def names(*, settings: Settings | None = None) -> list[str]:
    """Names of Slipway's registered models, sorted."""

    def search(c: Any) -> list[str]:
        found, token = [], None
        while True:
            page = c.search_registered_models(max_results=1000, page_token=token)
            found += [m.name for m in page if OURS in m.tags]
            if not (token := page.token):
                return sorted(found)

    return client.call(settings or settings_module.load(), search)


def versions(name: str, *, settings: Settings | None = None) -> list[ModelVersion]:
    """Versions of a model, oldest first.

    Raises: NotFoundError: no such model; the message lists those there are.
    """
    settings = settings or settings_module.load()
    found = _versions(name, settings)
    if found is None:
        raise NotFoundError(unknown("model", name, names(settings=settings)))
    return found


def version_of(name: str, release_digest: str, *, settings: Settings | None = None) -> str:
    """Number of a release's version; the start of its digest where it is in no registry."""
    try:
        known = versions(name, settings=settings)
    except NotFoundError:
        known = []
    return next((str(v.version) for v in known if v.release_digest == release_digest), release_digest[:12])


def resolve(spec: str, *, settings: Settings | None = None) -> ModelVersion:
    """The version that `name` (its champion), `name@alias` or `name:version` means.

    Raises: NotFoundError: no such model, alias or version; the message lists those there are.
    """
    settings = settings or settings_module.load()
    name, at, alias = spec.partition("@")
    version = ""
    if not at:
        name, _, version = spec.partition(":")
        alias = "" if version else CHAMPION
    known = versions(name, settings=settings)
    if version:
        for v in known:
            if str(v.version) == version:
                return v
        raise NotFoundError(unknown(f"version of model {name}", version, [str(v.version) for v in known]))
    for v in known:
        if alias in v.aliases:
            return v
    has = ", ".join(f"{v.version} {' '.join(v.aliases)}".strip() for v in known) or "none"
    hint = f"; slipway promote {name} makes the challenger champion" if alias == CHAMPION else ""
    raise NotFoundError(f"model {name}: no version has the alias '{alias}'{hint}. Versions: {has}")


def champion(name: str, *, settings: Settings | None = None) -> ModelVersion | None:
    """The version that is served; None where there is none, or no such model."""
    found = _versions(name, settings or settings_module.load()) or []
    return next((v for v in found if CHAMPION in v.aliases), None)


def register(
    name: str,
    *,
    release_uri: str,
    release_digest: str,
    bundle_digest: str,
    run_id: str,
    accuracy: float | None,
    expected_champion: str | None,
    settings: Settings | None = None,
) -> ModelVersion:
    """A new version for a release, as challenger; the version there is when the release was registered before.

    Args:
        run_id: Slipway's id of the run.
        accuracy: on the test split, in [0, 1].
        expected_champion: release digest of the champion that the gate compared with; None: there was none.
    Raises:
        ConfigError: the name has characters other than a-z, A-Z, 0-9, '.', '_' and '-'.
        ConflictError: the champion is another one by now, so that the gate's comparison does not hold.
    """
    settings = settings or settings_module.load()
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name):
        raise ConfigError(f"model name '{name}': must be at most 128 characters of a-z, A-Z, 0-9, '.', '_' and '-'")
    known = _versions(name, settings) or []
    version = next((v for v in known if v.release_digest == release_digest and not v.retired), None)
    if version is not None and CHAMPION in version.aliases:
        return version
    now = next((v for v in known if CHAMPION in v.aliases), None)
    if (now.release_digest if now else None) != expected_champion:
        is_now = f"version {now.version} ({now.release_digest[:12]})" if now else "none"
        was = expected_champion[:12] if expected_champion else "none"
        raise ConflictError(f"model {name}: the champion is {is_now}, the gate compared with {was}; evaluate and gate again")
    number = (
        version.version if version else _create(name, release_uri, release_digest, bundle_digest, run_id, accuracy, settings)
    )
    before = next((v for v in known if CHALLENGER in v.aliases), None)
    _point(name, CHALLENGER, number, before, settings)
    return resolve(f"{name}:{number}", settings=settings)


def promote(name: str, version: int | None = None, *, settings: Settings | None = None) -> ModelVersion:
    """Make a version (by default the challenger) the champion; the one before keeps no alias.

    Raises:
        NotFoundError: no such model or version, or no challenger.
        ConflictError: `slipway gc` is deleting that version.
    """
    settings = settings or settings_module.load()
    chosen = resolve(f"{name}@{CHALLENGER}" if version is None else f"{name}:{version}", settings=settings)
    _point(name, CHAMPION, chosen.version, champion(name, settings=settings), settings)
    if CHALLENGER in chosen.aliases:
        client.call(settings, lambda c: c.delete_registered_model_alias(name, CHALLENGER))
    return resolve(f"{name}:{chosen.version}", settings=settings)


def retire(name: str, version: int, *, settings: Settings | None = None) -> bool:
    """Delete a version that no alias points at; a killed call leaves it retired, and can be repeated.

    MLflow deletes a version together with its aliases, without asking. So the tag comes first and the aliases are read
    after it, while whoever sets an alias reads the tag after that (`_point`): of two at once, one sees the other.

    Returns: whether it is gone: False when it has an alias.
    """
    settings = settings or settings_module.load()

    def now() -> ModelVersion | None:
        return next((v for v in _versions(name, settings) or [] if v.version == version), None)

    found = now()
    if found is None:
        return True
    if found.aliases:
        return False
    client.call(settings, lambda c: c.set_model_version_tag(name, str(version), RETIRED, "true"))
    if (found := now()) and found.aliases:
        client.call(settings, lambda c: c.delete_model_version_tag(name, str(version), RETIRED))
        return False
    with suppress(NotFoundError):  # another one was quicker
        client.call(settings, lambda c: c.delete_model_version(name, str(version)))
    return True


def _point(name: str, alias: str, version: int, before: ModelVersion | None, settings: Settings) -> None:
    """Point an alias at a version that stays.

    Raises: ConflictError: the version is being deleted (see `retire`); the alias points where it did before.
    """
    gone = ConflictError(f"model {name}: version {version} is being deleted by slipway gc; choose another, or register again")
    try:
        client.call(settings, lambda c: c.set_registered_model_alias(name, alias, str(version)))
    except NotFoundError as exc:
        raise gone from exc
    if any(v.version == version and not v.retired for v in _versions(name, settings) or []):
        return
    if before is None:
        client.call(settings, lambda c: c.delete_registered_model_alias(name, alias))
    elif before.version != version:
        client.call(settings, lambda c: c.set_registered_model_alias(name, alias, str(before.version)))
    raise gone


def _create(name: str, uri: str, digest: str, bundle: str, run_id: str, accuracy: float | None, settings: Settings) -> int:
    """Number of a new version; of the oldest of that release where steps of a run registered it at once."""
    from mlflow.exceptions import MlflowException

    tags = {URI: uri, DIGEST: digest, BUNDLE: bundle, runs.TAG: run_id}
    if accuracy is not None:
        tags[ACCURACY] = repr(float(accuracy))
    source = uri
    if settings.tracking_uri.startswith("http") and "://" not in uri:
        source = f"slipway:/{digest}"  # a server takes no local paths; the tag has it
    mlflow_run = runs.mlflow_run_id(run_id, settings)

    def create(c: Any) -> int:
        try:
            c.create_registered_model(name, tags={OURS: "true"})
        except MlflowException as exc:
            if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            c.set_registered_model_tag(name, OURS, "true")
        return int(c.create_model_version(name, source, run_id=mlflow_run, tags=tags, await_creation_for=0).version)

    made = client.call(settings, create)
    same = [v.version for v in _versions(name, settings) or [] if v.release_digest == digest and not v.retired]
    oldest = min(same, default=made)
    if oldest != made:
        client.call(settings, lambda c: c.delete_model_version(name, str(made)))
    return oldest


def _versions(name: str, settings: Settings) -> list[ModelVersion] | None:
    """Slipway's versions of a model, oldest first; None where there is no such model."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        return None

    def search(c: Any) -> tuple[Any, list[Any]]:
        model = c.get_registered_model(name)
        found, token = [], None
        while True:
            page = c.search_model_versions(f"name = '{name}'", max_results=1000, page_token=token)
            found += page
            if not (token := page.token):
                return model, found

    try:
        model, found = client.call(settings, search)
    except NotFoundError:
        return None
    aliases: dict[int, list[str]] = {}  # a search does not fill the versions' own
    for alias, number in model.aliases.items():
        aliases.setdefault(int(number), []).append(alias)
    ours = [v for v in found if DIGEST in v.tags]
    return sorted((_version(v, aliases.get(int(v.version), [])) for v in ours), key=lambda v: v.version)


def _version(found: Any, aliases: list[str]) -> ModelVersion:
    tags = found.tags
    return ModelVersion(
        name=found.name,
        version=int(found.version),
        release_uri=tags[URI],
        release_digest=tags[DIGEST],
        bundle_digest=tags[BUNDLE],
        aliases=tuple(sorted(aliases)),
        run_id=tags[runs.TAG],
        accuracy=float(tags[ACCURACY]) if ACCURACY in tags else None,
        created=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
        retired=RETIRED in tags,
    )
