"""An artifact that an option names: a teacher, or what training starts from."""

import sys
from pathlib import Path

import numpy as np

from slipway.data.dataset import Dataset
from slipway.errors import BundleError, ConfigError, NotFoundError
from slipway.store.uri import fetch


def place(option: str, uri: str, cache: Path | None) -> Path:
    """A verified local directory of the artifact.

    Args:
        option: its name, for messages.
        uri: path or store URI.
        cache: where a copy of one in a store is kept; None allows local ones only.
    Raises:
        ConfigError: it is not there, or damaged.
        StoreError: the store does not answer or refuses.
    """
    if cache is None and uri.startswith("s3://"):
        raise ConfigError(f"{option}: {uri} is in a store, and there is no folder to fetch it to; give a local path")
    try:
        return fetch(uri, cache or Path())  # a local one is used where it is
    except (NotFoundError, BundleError) as exc:
        raise ConfigError(f"{option}: {exc}") from exc


def warn_of_seen_items(option: str, path: Path, dataset: Dataset) -> None:
    """What was trained on held-out items hands their labels down: scores there would be too good."""
    seen = np.load(path / "train_items.npy")
    for split in ("validation", "test"):
        hashes_N = dataset.item_hashes(split)
        if count := int(np.isin(hashes_N, seen).sum()):
            sys.stderr.write(
                f"{option}: was trained on {count:,} of the {len(hashes_N):,} {split} items, so the scores there will "
                f"be too good; take one trained on the same split\n"
            )
