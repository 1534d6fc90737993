"""The data set that all candidates share: given as a prepared directory, or prepared once."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway.data.dataset import META, Dataset
from slipway.data.datasets import DATASETS, open_dataset
from slipway.data.folders import open_path
from slipway.data.prepare import PrepareConfig, prepare
from slipway.errors import ConfigError, DataError, NotFoundError, unknown
from slipway.settings import Settings
from slipway.store import files
from slipway.store.uri import fetch

ASKED = (
    "dataset", "data", "size", "image_px", "text_column", "label_column", "train_fraction", "validation_fraction", "seed",
)  # fmt: skip
"""Parameters of a pipeline that say what is prepared, and how."""


def is_prepared(path: Path) -> bool:
    """Whether a directory is a data set that `prepare` wrote."""
    return (path / META).is_file() and (path / files.MANIFEST).is_file()


def prepared(family: str, asked: Mapping[str, Any], folder: Path, settings: Settings) -> Dataset:
    """The data set that pipeline parameters ask for, prepared in `folder`, or the prepared one that `data` names.

    A known data set that is there already is taken as it is; the user's own data are prepared each time, since they may
    have changed: equal ones give equal bytes.

    Args:
        asked: ASKED, as `runs.parameters.resolve` gives them; other names are not looked at.
    Raises: DataError, NotFoundError, ConfigError: the data are not there or cannot be used.
    """
    data = str(asked["data"])
    if data and "://" not in data and is_prepared(Path(data).expanduser()):
        return _given(family, Path(data).expanduser())
    request = {"family": family, **{name: asked[name] for name in ASKED if name in asked}}
    where = folder / (hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:12])
    if not data:
        try:
            return Dataset.load(where, verify=True)
        except DataError:
            pass  # not there, or damaged: prepared below
    config = PrepareConfig(
        family=family,
        image_px=asked.get("image_px", 0),
        train_fraction=asked["train_fraction"],
        validation_fraction=asked["validation_fraction"],
        seed=asked["seed"],
    )
    if data:
        uri, _, table = data.partition("#")
        source = fetch(uri, settings.home / "cache") / table if "://" in data else Path(data).expanduser()
        columns = {name: asked.get(name, "") for name in ("text_column", "label_column")}
        raw = open_path(source, family=family, **columns)
    else:
        raw = open_dataset(request["dataset"], family=family, size=asked["size"], seed=asked["seed"], root=settings.data)
    return prepare(raw, where, config)


def parameters_of(source: str, **columns: str) -> dict[str, str]:
    """The parameters that name the data: `dataset` for a known set, `data` for a path or URI, and columns that are given.

    Raises: NotFoundError: there is no such set, file or folder; the message has the near match.
    """
    if source not in DATASETS and "://" not in source and not Path(source).expanduser().exists():
        raise NotFoundError(f"{unknown('data set', source, DATASETS)}; nor is there such a file or folder")
    given = {name: column for name, column in columns.items() if column}
    return {"dataset" if source in DATASETS else "data": source, **given}


def family_of(source: str) -> str:
    """The family that a known data set or a prepared directory is of.

    Raises: ConfigError: the user's own data, which do not tell.
    """
    if source in DATASETS:
        return DATASETS[source].families[0]
    path = Path(source).expanduser()
    if not is_prepared(path):
        raise ConfigError(f"--family: {source} does not tell what is to be learnt from it; give --family cv, defect or nlp")
    return Dataset.load(path).family


def _given(family: str, path: Path) -> Dataset:
    dataset = Dataset.load(path, verify=True)
    if dataset.family != family:
        raise ConfigError(f"{path}: is prepared for family {dataset.family}, not {family}; prepare the data for {family}")
    return dataset
