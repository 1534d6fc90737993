"""Which image of ours a submission names: told by a variable, or by the list of images that the charts are given."""

from pathlib import Path
from typing import Any

from slipway.config import read_yaml
from slipway.errors import ConfigError
from slipway.settings import Settings


def train(settings: Settings) -> str:
    """slipway-train: SLIPWAY_TRAIN_IMAGE, else that of the list SLIPWAY_IMAGES; empty where neither is set.

    Raises: ConfigError: the list cannot be read, or does not name it.
    """
    return settings.train_image or (listed(settings.images, "train") if settings.images else "")


def listed(path: Path, name: str) -> str:
    """An image of a list of images, a values file of the charts; the digest counts before the tag.

    Args:
        path: YAML, `images: {NAME: {repository, tag, digest}}`, and `global: {imageRegistry}` where there is one.
        name: serve, train, mlflow or minio.
    Raises: ConfigError: it cannot be read, or does not name the image.
    """
    values: Any = read_yaml(path, what=f"SLIPWAY_IMAGES {path}")
    try:
        image = values["images"][name]
        registry = str((values.get("global") or {}).get("imageRegistry") or "").rstrip("/")
        repository = str(image.get("repository") or f"slipway-{name}")
        tag, digest = str(image.get("tag") or ""), str(image.get("digest") or "")
    except (KeyError, TypeError, AttributeError) as exc:
        raise ConfigError(
            f"SLIPWAY_IMAGES {path}: does not have images.{name}; write `images: {{{name}: {{tag: …}}}}`"
        ) from exc
    return (f"{registry}/" if registry else "") + repository + (f"@{digest}" if digest else f":{tag}" if tag else "")
