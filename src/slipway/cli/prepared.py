"""A prepared data set as a verb's argument, and what the options of training come to for it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.errors import ConfigError, DataError, StoreError, unknown

if TYPE_CHECKING:
    from slipway.data.dataset import Dataset
    from slipway.settings import Settings


def opened(source: str, settings: "Settings") -> "Dataset":
    """The data set at a path or an s3:// URI, verified. Raises: DataError: there is none."""
    from slipway.data.dataset import Dataset
    from slipway.store.uri import fetch

    if source.startswith("s3://"):
        return Dataset.load(fetch(source, settings.home / "cache"))
    try:
        return Dataset.load(Path(source).expanduser(), verify=True)
    except DataError as exc:
        raise DataError(f"{exc}; training reads what `slipway prepare {source} -o DIR` writes") from exc


def described(uri: str) -> tuple[str, str]:
    """Family and name of a data set in a store, which stays there. Raises: StoreError: it cannot be reached from here."""
    from slipway.data.dataset import META
    from slipway.store.uri import locate

    store, key = locate(uri)
    try:
        about = json.loads(store.get_bytes(f"{key}/{META}"))
    except StoreError as exc:
        raise StoreError(f"{exc}; with --family cv, defect or nlp nothing is looked up there") from exc
    return about["family"], about["name"]


def asked_of(family: str, *, preset: str, values: Mapping[str, str], verb: str) -> dict[str, Any]:
    """What is prepared, and how, by the names of `data.sources.ASKED`; the preset's where `values` do not tell.

    Raises: ConfigError: as `runs.parameters.resolve`; or a name is not about data.
    """
    from slipway.data.sources import ASKED
    from slipway.runs.parameters import resolve

    if useless := [name for name in values if name not in ASKED]:
        raise ConfigError(unknown(f"{verb}: --set", useless[0], set(ASKED) - {"dataset", "data"}))
    resolved = resolve(family, preset=preset, values=values)
    asked: dict[str, Any] = {"image_px": 0, "text_column": "", "label_column": "", "slice_columns": ""}
    return asked | {name: resolved[name] for name in ASKED if name in resolved}


def fields(family: str, name: str, *, preset: str, recipe: Path | None, values: Mapping[str, str]) -> dict[str, Any]:
    """Options of training for a data set of that name: the preset's, the recipe's, then `values`.

    Raises: ConfigError: as `runs.parameters.resolve`; or a name of `values` is no option of training.
    """
    from slipway.data.datasets import DATASETS
    from slipway.runs.parameters import resolve, training
    from slipway.training import options

    known = options.names(family)
    for option in values:
        if option not in known:
            raise options.refuse("train", option, known, family)
    source = {"dataset" if name in DATASETS else "data": name or "prepared"}
    return training(family, resolve(family, preset=preset, recipe=recipe, values=source | dict(values)))
