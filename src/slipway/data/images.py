"""Decoding of raw images in threads, and the files their pixels and bytes go to."""

# N items, H/W px, C channels

import io
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slipway.data.raw import Item
from slipway.data.split import image_hash, pixels_hash
from slipway.errors import DataError
from slipway.preprocess.image import FORMATS, ImagePreprocess, decode

CHUNK_ITEMS, CHUNK_BYTES = 64, 8_000_000
"""What one thread is handed at a time: enough to hide the handing, little enough for photographs of 5 MB."""
GATHERED_BYTES = 64_000_000
"""Pixels held at once while they are put in order."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """One image, as the data set keeps it."""

    digest: bytes
    pixels: NDArray[np.uint8]
    """[H, W, C], of the model's size."""
    size: tuple[int, int]
    """Width and height in pixels as it came, turned by its EXIF orientation."""
    original: bytes
    """As it came; empty unless it is a test item."""


def decode_items(
    items: Iterable[Item], preprocess: ImagePreprocess, threads: int, *, is_test: Callable[[bytes, str], bool]
) -> Iterator[tuple[Item, Decoded | str]]:
    """Each item with its image, or with the reason why it cannot be read; in the order of `items`, whichever thread is first.

    Args:
        threads: 0 takes the cores this process may use, 4 at most.
        is_test: tells from content hash and official split whether the original bytes are to be kept.
    """
    threads = threads or min(4, len(os.sched_getaffinity(0)))

    def work(chunk: list[Item]) -> list[tuple[Item, Decoded | str]]:
        return [(item, _decode(item, preprocess, is_test)) for item in chunk]

    pending: deque[Future[list[tuple[Item, Decoded | str]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for chunk in _chunks(items):
                pending.append(pool.submit(work, chunk))
                if len(pending) > 2 * threads:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def encode_png(pixels_HWC: NDArray[np.uint8]) -> bytes:
    """Lossless PNG of uint8 pixels with 1 or 3 channels; not compressed, as what zlib makes of it may differ between builds."""
    out = io.BytesIO()
    Image.fromarray(pixels_HWC[:, :, 0] if pixels_HWC.shape[2] == 1 else pixels_HWC).save(out, "PNG", compress_level=0)
    return out.getvalue()


def shorter_side_px(content: object) -> int:
    """From the header alone; 0 for what cannot be read."""
    if isinstance(content, np.ndarray):
        return int(min(content.shape[:2]))
    if not isinstance(content, bytes):
        return 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large images are refused when they are decoded
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                return min(image.width, image.height)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 0


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    held_bytes = 0
    for item in items:
        chunk.append(item)
        held_bytes += item.content.nbytes if isinstance(item.content, np.ndarray) else len(item.content)
        if len(chunk) >= CHUNK_ITEMS or held_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, held_bytes = [], 0
    if chunk:
        yield chunk


def _decode(item: Item, preprocess: ImagePreprocess, is_test: Callable[[bytes, str], bool]) -> Decoded | str:
    content = item.content
    try:
        if isinstance(content, np.ndarray):
            pixels = preprocess(content)
            digest = pixels_hash(content)
            size = content.shape[1], content.shape[0]
            return Decoded(digest, pixels, size, encode_png(content) if is_test(digest, item.split) else b"")
        if isinstance(content, str):
            return "expected an image, got text"
        image = decode(content)
        digest = image_hash(image)
        if image.mode in ("L", "RGB"):  # what the preprocessing would decode again: the same pixels, half the time
            pixels = preprocess(np.asarray(image).reshape(image.height, image.width, -1))
        else:
            pixels = preprocess(content)
        return Decoded(digest, pixels, image.size, content if is_test(digest, item.split) else b"")
    except DataError as exc:
        return str(exc)


class ImageWriter:
    """Takes images as they come, then writes each split's arrays in the order asked for; memory stays small."""

    def __init__(self, directory: Path, shape_HWC: tuple[int, int, int]) -> None:
        self._directory, self._shape = directory, shape_HWC
        self._pixels_path, self._bytes_path = directory / "pixels.partial", directory / "bytes.partial"
        self._ends = [0]
        self._sizes: list[tuple[int, int]] = []

    def __enter__(self) -> "ImageWriter":
        self._pixels, self._bytes = self._pixels_path.open("wb"), self._bytes_path.open("wb")
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        for f, path in ((self._pixels, self._pixels_path), (self._bytes, self._bytes_path)):
            f.close()
            path.unlink()

    def add(self, image: Decoded) -> None:
        """The next image in the order of arrival."""
        self._pixels.write(image.pixels.tobytes())
        self._bytes.write(image.original)
        self._sizes.append(image.size)
        self._ends.append(self._ends[-1] + len(image.original))

    def finish(self, split: str, order: Sequence[int]) -> None:
        """Write {split}_images.npy, {split}_sizes.npy and the test split's original bytes; `order` holds places of arrival."""
        self._pixels.flush()
        self._bytes.flush()
        arrived = np.memmap(self._pixels_path, np.uint8, "r").reshape(-1, *self._shape)
        target = self._directory / f"{split}_images.npy"
        images = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=(len(order), *self._shape))
        step = max(1, GATHERED_BYTES // int(np.prod(self._shape)))
        for start in range(0, len(order), step):
            images[start : start + step] = arrived[order[start : start + step]]
        images.flush()
        np.save(self._directory / f"{split}_sizes.npy", np.array(self._sizes, np.int32)[list(order)])
        if split == "test":
            self._finish_bytes(order)

    def _finish_bytes(self, order: Sequence[int]) -> None:
        starts, ends = np.array(self._ends[:-1], np.int64), np.array(self._ends[1:], np.int64)
        lengths = (ends - starts)[list(order)]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        target = self._directory / "test_raw.npy"
        data = np.lib.format.open_memmap(target, mode="w+", dtype=np.uint8, shape=(int(offsets[-1]),))
        with self._bytes_path.open("rb") as f:
            for i, at in enumerate(order):
                f.seek(starts[at])
                data[offsets[i] : offsets[i + 1]] = np.frombuffer(f.read(int(lengths[i])), np.uint8)
        data.flush()
        np.save(self._directory / "test_offsets.npy", offsets)
