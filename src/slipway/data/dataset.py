"""A prepared data set: the directory that `prepare` writes, opened.

    dataset.json                      name, family, kind, labels, counts, fingerprint, preprocessing, splits, what was skipped
    {train,validation,test}.csv       id, label, source  |  id, label, text
    {split}_slices.csv                values of the user's slice columns, where columns were named
    {split}_labels.npy                int64 [N], positions in labels
    {split}_images.npy                uint8 [N, H, W, C], images only
    {split}_sizes.npy                 int32 [N, 2], width and height in px before it was resized, images only
    test_raw.npy, test_offsets.npy    the test images' original bytes, as `bundle.pack_bytes` lays them out
    MANIFEST.json                     SHA-256 sums, written last

Within a split, items lie in the order of their content hash: any first n are a random sample.
"""

# N items, H/W px, C channels

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from slipway.data.split import SPLITS
from slipway.data.tables import MAX_FIELD_CHARS
from slipway.errors import BundleError, DataError, unknown
from slipway.preprocess.image import ImagePreprocess
from slipway.store import files

FORMAT = 1
META = "dataset.json"


class RawBytes(Sequence[bytes]):
    """Byte strings that lie one after the other in a memory-mapped file; read when asked for."""

    def __init__(self, data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self._data, self._offsets = data, offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        i = index % len(self)
        return self._data[self._offsets[i] : self._offsets[i + 1]].tobytes()


@dataclass(frozen=True, slots=True)
class Dataset:
    """A prepared data set. Splits are `train`, `validation` and `test`; arrays are memory-mapped, never loaded whole."""

    path: Path
    meta: Mapping[str, Any]
    """dataset.json."""

    @classmethod
    def load(cls, path: Path, *, verify: bool = False) -> "Dataset":
        """Open a prepared data set.

        Args:
            verify: compare every file with the manifest; otherwise only that the manifest is there.
        Raises: DataError: not a complete data set, of a newer format, or (when verified) altered.
        """
        try:
            manifest = files.verify(path) if verify else files.read_manifest(path)
        except BundleError as exc:
            raise DataError(f"data set {exc}") from exc
        if META not in manifest.files:
            raise DataError(f"{path}: no {META}; an artifact of slipway, but no data set")
        meta = files.read_json(path / META)
        if meta["format"] != FORMAT:
            raise DataError(
                f"{path}: data set format {meta['format']}, this version reads {FORMAT}; upgrade slipway or prepare it again"
            )
        return cls(path, meta)

    @property
    def name(self) -> str:
        """Of the known set, or made from the folder's or file's name."""
        return str(self.meta["name"])

    @property
    def kind(self) -> str:
        """`image` or `text`."""
        return str(self.meta["kind"])

    @property
    def family(self) -> str:
        """`cv`, `defect` or `nlp`."""
        return str(self.meta["family"])

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the label indices."""
        return tuple(self.meta["labels"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 hex over labels and the sorted (content hash, label, split); the same at every image size."""
        return str(self.meta["fingerprint"])

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Items by split and label."""
        counts: dict[str, dict[str, int]] = self.meta["counts"]
        return counts

    @property
    def preprocess(self) -> ImagePreprocess | None:
        """What all arrays were made with; None for texts."""
        state = self.meta["preprocess"]
        return ImagePreprocess.restore(state, self.path) if state else None

    def arrays(self, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Images uint8 [N, H, W, C], memory-mapped, and label indices int64 [N].

        Raises: DataError: a data set of texts.
        """
        self._check(split, "image")
        return np.load(self.path / f"{split}_images.npy", mmap_mode="r"), self.label_indices(split)

    def label_indices(self, split: str) -> NDArray[np.int64]:
        """Positions in `labels`, int64 [N]."""
        self._check(split)
        indices: NDArray[np.int64] = np.load(self.path / f"{split}_labels.npy")
        return indices

    def texts(self, split: str) -> list[str]:
        """The texts of a split.

        Raises: DataError: a data set of images.
        """
        self._check(split, "text")
        return [row[2] for row in self._rows(split)]

    def raw(self, split: str) -> Sequence[bytes]:
        """Items as a client would send them: original image bytes (test split only), or UTF-8 text.

        Pixel-only sources such as CIFAR-10 have lossless PNGs of their pixels.

        Raises: DataError: images of another split than test, whose bytes are not kept.
        """
        self._check(split)
        if self.kind == "text":
            return [text.encode() for text in self.texts(split)]
        if split != "test":
            raise DataError(
                f"{self.path}: original bytes are kept for the test split only, not for {split}; use arrays('{split}')"
            )
        return RawBytes(np.load(self.path / "test_raw.npy", mmap_mode="r"), np.load(self.path / "test_offsets.npy"))

    def ids(self, split: str) -> list[str]:
        """One per item, unique in the data set: 16 hex digits of the content hash, `-1`, `-2` … for further copies."""
        self._check(split)
        return [row[0] for row in self._rows(split)]

    def sources(self, split: str) -> list[str]:
        """Where each image came from, such as `cat/1.jpg`.

        Raises: DataError: a data set of texts.
        """
        self._check(split, "image")
        return [row[2] for row in self._rows(split)]

    def sizes(self, split: str) -> NDArray[np.int32] | None:
        """Width and height in pixels as the images came, int32 [N, 2]; None in data sets of versions that did not keep it.

        Raises: DataError: a data set of texts.
        """
        self._check(split, "image")
        path = self.path / f"{split}_sizes.npy"
        return np.load(path) if path.is_file() else None

    def item_hashes(self, split: str) -> NDArray[np.uint64]:
        """First 8 bytes of each item's content hash, big endian, uint64 [N]; ascending."""
        return np.array([int(i[:16], 16) for i in self.ids(split)], np.uint64)

    def slices(self, split: str) -> dict[str, NDArray[np.bool_]]:
        """Which items of a split are in each slice the user named: `column=value` -> bool [N], by column, then value.

        An item without a value is in none of the column's slices; without slice columns there are no slices.
        """
        columns, rows = self.slice_values(split)
        return {
            f"{column}={value}": np.array([row[c] == value for row in rows])
            for c, column in enumerate(columns)
            for value in sorted({row[c] for row in rows} - {""})
        }

    def slice_values(self, split: str) -> tuple[list[str], list[list[str]]]:
        """The user's slice columns, and each item's values in them; no columns and no rows where none were named."""
        self._check(split)
        path = self.path / f"{split}_slices.csv"
        if not path.is_file():
            return [], []
        columns, *rows = self._read(path)
        return columns, rows

    def _rows(self, split: str) -> list[list[str]]:
        return self._read(self.path / f"{split}.csv")[1:]

    def _read(self, path: Path) -> list[list[str]]:
        csv.field_size_limit(MAX_FIELD_CHARS)
        with path.open(encoding="utf-8", newline="") as f:
            return list(csv.reader(f))

    def _check(self, split: str, kind: str = "") -> None:
        if split not in SPLITS:
            raise DataError(unknown("split", split, SPLITS))
        if kind and kind != self.kind:
            raise DataError(f"{self.path}: a data set of {self.kind}s, asked for {kind}s")
