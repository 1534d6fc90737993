"""The table of known data sets. A new one is a reader in a file of its own and a line here."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType

import numpy as np

from slipway import settings
from slipway.data.raw import KINDS, LazyItems, RawData, Request
from slipway.errors import ConfigError, DataError, NotFoundError, unknown


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetEntry:
    """A line of the table."""

    families: tuple[str, ...]
    """Model families it suits; the first is its own."""
    reader: str
    """`module:function` below slipway.data; the function takes a `Request` and gives `RawData`."""
    image_px: int = 0
    """Side of the model input; 0 for texts."""
    generated_size: int = 0
    """Items of a generated set unless told otherwise; 0 for sets that are read."""
    description: str


DATASETS: Mapping[str, DatasetEntry] = MappingProxyType(
    {
        "digits": DatasetEntry(
            families=("cv",),
            reader="digits:read",
            image_px=32,
            description="1,797 handwritten digits, 8x8 gray levels (scikit-learn's copy of UCI's optical recognition set)",
        ),
        "shapes": DatasetEntry(
            families=("cv",),
            reader="shapes:read",
            image_px=32,
            generated_size=150,
            description="generated circles, squares, triangles, stars and crosses; one label in 20 is wrong",
        ),
        "steel": DatasetEntry(
            families=("defect", "cv"),
            reader="steel:read",
            image_px=64,
            generated_size=900,
            description="generated gray textures of six steel surface defects; one label in 20 is wrong",
        ),
        "reviews": DatasetEntry(
            families=("nlp",),
            reader="reviews:read",
            generated_size=3000,
            description="generated short reviews, negative or positive; one label in 20 is wrong",
        ),
        "cifar10": DatasetEntry(
            families=("cv",),
            reader="torchvision_sets:read_cifar10",
            image_px=32,
            description="CIFAR-10: 60,000 colour images of 32x32 px in ten classes (Krizhevsky 2009)",
        ),
        "fashion_mnist": DatasetEntry(
            families=("cv",),
            reader="torchvision_sets:read_fashion_mnist",
            image_px=32,
            description="Fashion-MNIST: 70,000 gray images of 28x28 px in ten classes (Xiao et al. 2017)",
        ),
        "neu_cls": DatasetEntry(
            families=("defect", "cv"),
            reader="neu_cls:read",
            image_px=64,
            description="NEU-CLS: photographs of six steel surface defects, 200x200 px (Song and Yan 2013)",
        ),
        "imdb": DatasetEntry(
            families=("nlp",),
            reader="imdb:read",
            description="IMDB film reviews, negative or positive, in aclImdb's layout (Maas et al. 2011)",
        ),
        "sst2": DatasetEntry(
            families=("nlp",),
            reader="sst2:read",
            description="SST-2: phrases of film reviews, negative or positive; dev is the test split (Socher et al. 2013)",
        ),
    }
)


def entry_for(name: str, family: str) -> DatasetEntry:
    """The line of a known data set that suits a family. Raises: as `open_dataset`, without looking for files."""
    if name not in DATASETS:
        raise NotFoundError(unknown("data set", name, DATASETS) + "; or give your own with --data")
    if family not in KINDS:
        raise ConfigError(unknown("family", family, KINDS))
    entry = DATASETS[name]
    if family not in entry.families:
        fitting = ", ".join(n for n, e in DATASETS.items() if family in e.families)
        raise DataError(
            f"data set '{name}' is for family {' or '.join(entry.families)}, not {family}; for {family} there are {fitting}"
        )
    return entry


def open_dataset(name: str, *, family: str, size: int = 0, seed: int = 0, root: Path | None = None) -> RawData:
    """Open a known data set.

    Args:
        size: items of a generated set, or at most so many of another, drawn by `seed`; 0 means its default, or all.
        root: folder of the real sets; None means <SLIPWAY_HOME>/data, where downloads go then.
    Raises:
        NotFoundError: no such data set; the message has the near match.
        DataError: not for this family, or its files are not there; the message says what to put where.
    """
    entry = entry_for(name, family)
    if size < 0:
        raise ConfigError(f"size: must be 0 (the default) or more, got {size}")
    module, _, function = entry.reader.partition(":")
    read = getattr(import_module(f"slipway.data.{module}"), function)
    request = Request(size=size or entry.generated_size, seed=seed, root=root or settings.load().home / "data")
    raw: RawData = read(request)
    items = raw.items
    if size and not entry.generated_size and isinstance(items, LazyItems) and size < len(items):
        items = items.pick(np.sort(np.random.default_rng(seed).permutation(len(items))[:size]).tolist())
    return RawData(
        name=name, kind=raw.kind, labels=raw.labels, items=items, image_px=entry.image_px, description=entry.description
    )
