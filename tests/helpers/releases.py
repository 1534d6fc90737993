"""Registered releases as the register step leaves them, made of tiny real bundles."""

import json
from pathlib import Path

from slipway.settings import Settings
from slipway.store import files
from slipway.store.uri import open_store
from slipway.tracking import registry
from slipway.tracking.registry import ModelVersion
from tests.helpers.bundles import make_bundle, make_release

NAME = "nlp-reviews"


def stored(settings: Settings, folder: Path, seed: int) -> tuple[str, str, str]:
    """A release with its evaluations and run in the store, not registered: URI, its digest, its bundle's."""
    bundle, release, scores = (folder / f"{kind}-{seed}" for kind in ("bundle", "release", "scores"))
    if not release.exists():
        make_release(make_bundle("nlp", bundle, seed=seed), release)
        with files.atomic_dir(scores) as scratch:
            files.write_json(scratch / "scores.json", {"accuracy": 0.9})
    store, digest, of_bundle = (
        open_store(settings.store),
        files.read_manifest(release).digest,
        files.read_manifest(bundle).digest,
    )
    uri = store.put_dir(release, f"models/{NAME}/{digest}")
    store.put_dir(scores, f"evaluations/{of_bundle}/scores-{seed}")
    record_run(settings, f"run-{seed}")
    return uri, digest, of_bundle


def registered(settings: Settings, folder: Path, seed: int, *, promote: bool = False) -> ModelVersion:
    """A release of run `run-SEED`, registered as challenger or champion."""
    uri, digest, of_bundle = stored(settings, folder, seed)
    now = registry.champion(NAME, settings=settings)
    version = registry.register(
        NAME, release_uri=uri, release_digest=digest, bundle_digest=of_bundle, run_id=f"run-{seed}", accuracy=0.9,
        expected_champion=now.release_digest if now else None, settings=settings,
    )  # fmt: skip
    return registry.promote(NAME, settings=settings) if promote else version


def record_run(settings: Settings, run_id: str, status: str = "succeeded") -> Path:
    """A run of one step: its record in the store; returns its folder in the home."""
    entry = {"step": "train", "status": status, "started": "2026-01-01T00:00:00.000+00:00"}
    open_store(settings.store).put_bytes(f"runs/{run_id}/train.json", json.dumps(entry).encode())
    folder = settings.home / "runs" / run_id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "request.json").write_text("{}")
    return folder
