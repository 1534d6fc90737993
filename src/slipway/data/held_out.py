"""Data to judge a model on: the test split of anything that holds one, or all of the user's own items."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.data.dataset import Dataset
from slipway.data.prepare import PrepareConfig, prepare
from slipway.data.raw import Item, LazyItems, RawData
from slipway.data.sources import is_prepared, open_source
from slipway.errors import DataError, unknown
from slipway.settings import Settings
from slipway.store.uri import fetch


def open_test(
    family: str, asked: Mapping[str, Any], into: Path, *, labels: Sequence[str], image_px: int, settings: Settings
) -> Dataset:
    """A data set whose test split is what `asked` holds to judge a model on; its other splits are empty where it is made here.

    A prepared data set is taken as it is. Of a known set it is the test split. The user's own data are all test, apart from
    a `train/` and a `val/` beside a `test/` folder.

    Args:
        asked: of `data.sources.ASKED`: what the data are, and for a known set how they are split.
        into: a directory for it.
        labels: the model's classes, in its order; the data may lack some.
        image_px: side of the model's input.
    Raises: DataError, NotFoundError: the data are not there or cannot be used, or have a class that the model does not know.
    """
    source = str(asked["data"])
    if source and "#" not in source:
        path = fetch(source, settings.home / "cache") if "://" in source else Path(source).expanduser()
        if is_prepared(path):
            return Dataset.load(path, verify=True)
    names = ("dataset", "data", "size", "seed", "text_column", "label_column", "slice_columns")
    raw = open_source(family, settings=settings, **{name: asked[name] for name in names if name in asked})
    if strange := [name for name in raw.labels if name not in labels]:
        raise DataError(unknown(f"data set '{raw.name}': a class that the model does not have", strange[0], labels))
    config = PrepareConfig(
        family=family,
        image_px=image_px,
        train_fraction=asked["train_fraction"],
        validation_fraction=asked["validation_fraction"],
        seed=asked["seed"],
    )
    judged = replace(raw, labels=tuple(labels), items=_test_items(raw.items, all_of_it=bool(source)))
    return prepare(judged, into, config, test_only=True)


def without(dataset: Dataset, left_out_N: NDArray[np.bool_], into: Path) -> Dataset:
    """The same data set, less the test items that `left_out_N` marks, and without its other splits.

    Raises: DataError: nothing is left.
    """
    raw, labels = dataset.raw("test"), dataset.labels
    indices, ids = dataset.label_indices("test"), dataset.ids("test")
    columns, values = dataset.slice_values("test")
    kept = np.flatnonzero(~left_out_N)

    def item(i: int) -> Item:
        content: bytes | str = raw[i] if dataset.kind == "image" else raw[i].decode()
        return Item(content, labels[indices[i]], ids[i], "test", tuple(values[i]) if columns else ())

    data = RawData(
        name=dataset.name,
        kind=dataset.kind,
        labels=labels,
        items=LazyItems(len(ids), item).pick(kept.tolist()),
        description=str(dataset.meta["description"]),
        slice_columns=tuple(columns),
    )
    return prepare(data, into, PrepareConfig(**dataset.meta["config"]), test_only=True)


def _test_items(items: Iterable[Item], *, all_of_it: bool) -> Iterator[Item]:
    for item in items:
        if item.split == "test":
            yield item
        elif not item.split:
            yield replace(item, split="test") if all_of_it else item
