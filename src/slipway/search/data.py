"""The data set that all candidates share: given as a prepared directory, or prepared once."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway.data.dataset import Dataset
from slipway.data.prepare import PrepareConfig, prepare
from slipway.data.sources import ASKED, is_prepared, open_source
from slipway.errors import ConfigError, DataError
from slipway.settings import Settings


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
    columns = {name: asked.get(name, "") for name in ("text_column", "label_column", "slice_columns")}
    raw = open_source(
        family, dataset=request["dataset"], data=data, size=asked["size"], seed=asked["seed"], settings=settings, **columns
    )
    return prepare(raw, where, config)


def _given(family: str, path: Path) -> Dataset:
    dataset = Dataset.load(path, verify=True)
    if dataset.family != family:
        raise ConfigError(f"{path}: is prepared for family {dataset.family}, not {family}; prepare the data for {family}")
    return dataset
