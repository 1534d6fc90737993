"""Raw data by name or place: a known data set, a prepared directory, or the user's own folder, table or store URI."""

from pathlib import Path

from slipway.data.dataset import META, Dataset
from slipway.data.datasets import DATASETS, open_dataset
from slipway.data.folders import open_path
from slipway.data.raw import RawData
from slipway.errors import ConfigError, DataError, NotFoundError, unknown
from slipway.settings import Settings
from slipway.store import files
from slipway.store.uri import fetch

ASKED = (
    "dataset", "data", "size", "image_px", "text_column", "label_column", "slice_columns", "train_fraction",
    "validation_fraction", "seed",
)  # fmt: skip
"""Parameters of a pipeline that say what is prepared, and how."""


def open_source(
    family: str,
    *,
    dataset: str,
    data: str,
    size: int,
    seed: int,
    settings: Settings,
    text_column: str = "",
    label_column: str = "",
    slice_columns: str = "",
) -> RawData:
    """Raw items of the known set `dataset`, or of the user's own `data`.

    Args:
        data: folder, table or store URI (`uri#file` names a file in it); empty means the known set.
        size: items of a generated set; 0 means its own default.
        slice_columns: names of columns in the user's own table, separated by commas.
    Raises: DataError, NotFoundError: not there, or it cannot be used; the message names the item.
    """
    slices = [name.strip() for name in slice_columns.split(",") if name.strip()]
    if not data:
        if slices:
            raise DataError(f"slice_columns: data set '{dataset}' has no columns; they are for your own table")
        return open_dataset(dataset, family=family, size=size, seed=seed, root=settings.data)
    uri, _, table = data.partition("#")
    source = fetch(uri, settings.home / "cache") / table if "://" in data else Path(data).expanduser()
    return open_path(source, family=family, text_column=text_column, label_column=label_column, slice_columns=slices)


def is_prepared(path: Path) -> bool:
    """Whether a directory is a data set that `prepare` wrote."""
    return (path / META).is_file() and (path / files.MANIFEST).is_file()


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
