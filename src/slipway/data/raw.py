"""What a reader hands to `prepare`: labels, and items one by one."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

KINDS = {"cv": "image", "defect": "image", "nlp": "text"}
"""Model family -> kind of its items."""


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled example as it was found."""

    content: bytes | NDArray[np.uint8] | str
    """Encoded image as bytes, pixels as uint8 [H, W, C], or a text as str."""
    label: str
    source: str
    """Where it comes from, relative to the data set: `cat/1.jpg`, `reviews.csv row 7`. Named in errors."""
    split: str = ""
    """Official split `train`, `validation` or `test`; empty lets the content's hash decide."""
    slices: tuple[str, ...] = ()
    """Its value in each of the set's slice columns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RawData:
    """A data set before it is prepared. `items` is read once or twice, in order, and never held as a whole."""

    name: str
    kind: str
    """`image` or `text`."""
    labels: tuple[str, ...]
    """Class names, in the order of the model's outputs."""
    items: Iterable[Item]
    image_px: int = 0
    """Side of the model input that suits the set; 0 leaves it to the median of its images."""
    description: str = ""
    slice_columns: tuple[str, ...] = ()
    """Names of the columns whose values tell the slices that a model is judged on, such as `camera`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a reader of a known data set is asked for."""

    size: int
    """Items of a generated set; other readers give all they have, and `open_dataset` picks."""
    seed: int
    root: Path
    """Folder of the real data sets."""


class LazyItems(Sequence[Item]):
    """Items made when they are asked for, by position."""

    def __init__(self, count: int, make: Callable[[int], Item]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> "LazyItems": ...
    def __getitem__(self, index: int | slice) -> "Item | LazyItems":
        if isinstance(index, slice):
            return self.pick(range(self._count)[index])
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._make(index % self._count)

    def pick(self, positions: Sequence[int]) -> "LazyItems":
        """The items at `positions`, in that order."""
        return LazyItems(len(positions), lambda i: self._make(int(positions[i])))


class BlockItems:
    """Generated items, made a block at a time: item i depends on the seed and its block alone, so a larger set starts alike."""

    def __init__(self, count: int, block: int, make: Callable[[int], Sequence[Item]]) -> None:
        """`make(b)` gives the `block` items from position `b * block` on."""
        self._count, self._block, self._make = count, block, make

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        for start in range(0, self._count, self._block):
            yield from self._make(start // self._block)[: self._count - start]


def slug(name: str) -> str:
    """A name fit for models and URLs: lower case, `-` for whatever is neither letter nor digit.

    >>> slug("My Parts_2")
    'my-parts-2'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "data"
