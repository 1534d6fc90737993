"""A stream of items to a stream of answers, in their order: files are read and decoded in threads while the model computes."""

# N items, K classes

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from slipway.bundle import BATCH, Bundle
from slipway.errors import DataError
from slipway.predictions.inputs import Item
from slipway.preprocess import Raw


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says of one item."""

    source: str
    probabilities_K: NDArray[np.float32] | None
    """In the order of the bundle's labels; None for an item that cannot be read."""
    error: str = ""
    """Why it cannot be read, in one line without its name."""


def answers(bundle: Bundle, items: Iterable[Item], *, threads: int = 0) -> Iterator[Answer]:
    """One answer an item, through the preprocessing and the graph that are served; memory does not grow with the items.

    Args:
        threads: that read and decode; 0 takes the cores this process may use, 4 at most.
    """
    threads = threads or min(4, len(os.sched_getaffinity(0)))
    waiting: deque[tuple[Sequence[Item], Future[_Encoded]]] = deque()
    items = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        try:
            while batch := list(islice(items, BATCH)):
                waiting.append((batch, pool.submit(_encode, bundle, batch)))
                if len(waiting) > threads:
                    yield from _answer(bundle, *waiting.popleft())
            while waiting:
                yield from _answer(bundle, *waiting.popleft())
        finally:
            for _, future in waiting:
                future.cancel()


@dataclass(frozen=True, slots=True)
class _Encoded:
    feeds: dict[str, NDArray[Any]]
    """Of the items that can be read; empty when none can."""
    errors: dict[int, str]
    """By place in the batch."""


def _answer(bundle: Bundle, batch: Sequence[Item], future: "Future[_Encoded]") -> Iterator[Answer]:
    encoded = future.result()
    probabilities = iter(bundle.run(encoded.feeds) if encoded.feeds else ())
    for i, item in enumerate(batch):
        error = encoded.errors.get(i, "")
        yield Answer(item.source, None, error) if error else Answer(item.source, next(probabilities))


def _encode(bundle: Bundle, batch: Sequence[Item]) -> _Encoded:
    try:
        return _Encoded(bundle.preprocess.encode(_Read(batch)), {})
    except DataError:
        pass  # which ones: below, one by one, as few batches need it
    errors: dict[int, str] = {}
    for i, item in enumerate(batch):
        try:
            bundle.preprocess.encode([read(item)])
        except DataError as exc:
            errors[i] = str(exc).removeprefix("item 0: ").removeprefix(f"{item.source}: ")
    kept = [item for i, item in enumerate(batch) if i not in errors]
    return _Encoded(bundle.preprocess.encode(_Read(kept)) if kept else {}, errors)


class _Read(Sequence[Raw]):
    """The contents of items, each read when it is asked for: a batch of large files is never in memory as a whole."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Raw: ...
    @overload
    def __getitem__(self, index: slice) -> "_Read": ...
    def __getitem__(self, index: int | slice) -> "Raw | _Read":
        return _Read(self._items[index]) if isinstance(index, slice) else read(self._items[index])


def read(item: Item) -> Raw:
    """What to encode. Raises: DataError: it cannot be read."""
    if isinstance(item.content, DataError):
        raise item.content
    if isinstance(item.content, str):
        return item.content
    try:
        return Path(item.content).read_bytes()
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror or exc})") from exc
