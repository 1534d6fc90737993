"""What a model is called by: `name` (its champion), `name@alias`, `name:version`, or the place of a bundle or release."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from slipway import bundle as bundles
from slipway.bundle import Bundle
from slipway.errors import BundleError, NotFoundError
from slipway.settings import Settings
from slipway.store import files, local
from slipway.store.uri import fetch

DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A model that a reference means."""

    name: str
    version: int | None
    """In the registry; None for a model given by its place."""
    source: str
    """Directory, or URI in a store, of the bundle or release."""

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}:{self.version}"


def find(text: str, settings: Settings) -> Reference:
    """The model that `text` means. Only names are looked up in the registry; places need neither it nor mlflow.

    A word without `/` is a name, unless a complete artifact is in a directory of that name.

    Raises: NotFoundError: no such model, alias, version or directory; the message lists those there are.
    """
    if "/" in text or (Path(text) / files.MANIFEST).is_file():
        source = text if text.startswith("s3://") else str(_directory(text))
        return Reference(name=_name_of(source), version=None, source=source)
    from slipway.tracking import registry

    try:
        version = registry.resolve(text, settings=settings)
    except NotFoundError as exc:
        if registry.names(settings=settings):
            said = str(exc)
        else:
            said = f"model '{text}': no model is registered yet; make one: slipway run cv"
        if Path(text).is_dir():
            said += f"; the folder {text} has no {files.MANIFEST}, so it is no bundle either"
        raise NotFoundError(said) from exc
    return Reference(name=version.name, version=version.version, source=version.release_uri)


def open_model(text: str, settings: Settings, *, variant: str = "") -> tuple[Reference, Bundle]:
    """The model that `text` means, verified and ready to answer; one in S3 is fetched to the cache of the home, once.

    Args:
        variant: see `bundle.load`.
    Raises:
        NotFoundError: see `find`.
        BundleError: damaged, without that variant, a directory of something else, such as a checkpoint, or a release without
            the signature that the settings ask for.
    """
    found = find(text, settings)
    remote = found.source.startswith("s3://")  # what is here is verified as it is loaded
    path = fetch(found.source, settings.home / "cache") if remote else _directory(found.source)
    if not (path / "bundle.json").is_file():
        if (path / "model.json").is_file():
            raise BundleError(
                f"{text}: is a checkpoint; what answers is the bundle made of it: slipway export {text} --data DATASET -o DIR"
            )
        raise BundleError(f"{text}: has no bundle.json, so it is neither a bundle nor a release; slipway models lists releases")
    key = settings.model_public_key if (path / bundles.RELEASE).is_file() else None  # a bundle is not signed before its release
    return found, bundles.load(path, variant=variant, threads=settings.threads, public_key=key)


def _directory(text: str) -> Path:
    path = local.parse(text)
    if path.is_dir():
        return path
    beside = [p.name for p in path.parent.iterdir() if p.is_dir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, beside, n=1)
    raise NotFoundError(
        f"{text}: no such directory{f'; did you mean {path.with_name(near[0])}?' if near else ';'} a model is the directory "
        f"of a bundle or release, or a registered name (slipway models lists them)"
    )


def _name_of(release: str) -> str:
    """Releases lie at models/<name>/<digest>; any other directory is called by its own name."""
    parts = release.rstrip("/").split("/")
    return parts[-2] if DIGEST.fullmatch(parts[-1]) and len(parts) > 1 else parts[-1]
