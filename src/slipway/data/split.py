"""Which split an item belongs to, and what identifies items and data sets: hashes of content, never of order or place."""

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SPLITS = ("train", "validation", "test")


def text_hash(text: str) -> bytes:
    """SHA-256 of the UTF-8 text."""
    return hashlib.sha256(text.encode()).digest()


def image_hash(image: Image.Image) -> bytes:
    """SHA-256 of the pixels in their own size and mode; equal pixels in another file format give the same."""
    if image.mode == "P":  # its pixels mean nothing without the palette
        image = image.convert("RGBA")
    return _hash(image.mode, image.size, image.tobytes())


def pixels_hash(pixels_HWC: NDArray[np.uint8]) -> bytes:
    """`image_hash` of uint8 pixels with 1 or 3 channels, without the way through an image."""
    height, width, channels = pixels_HWC.shape
    return _hash("L" if channels == 1 else "RGB", (width, height), pixels_HWC.tobytes())


def _hash(mode: str, size: tuple[int, int], data: bytes) -> bytes:
    return hashlib.sha256(f"{mode} {size[0]}x{size[1]}\n".encode() + data).digest()


def position(digest: bytes, seed: int) -> float:
    """Where a content lies in [0, 1) under a seed: uniform, and the same wherever and whenever it is asked."""
    mixed = hashlib.sha256(f"{seed}\n".encode() + digest).digest()
    return int.from_bytes(mixed[:7], "big") / 2**56  # 7 bytes: a float64 holds them with 1.0 out of reach


def assign(digest: bytes, official: str, *, seed: int, train_fraction: float, validation_fraction: float) -> str:
    """Split of one item.

    An official test or validation item stays one; an official training item goes to train or validation, in the ratio
    of the fractions; any other to one of the three. Equal contents go the same way.
    """
    if official in ("test", "validation"):
        return official
    share = position(digest, seed)
    if official == "train":
        return "train" if share < train_fraction / (train_fraction + validation_fraction) else "validation"
    if share < train_fraction:
        return "train"
    return "validation" if share < train_fraction + validation_fraction else "test"


def fingerprint(labels: Sequence[str], items: Iterable[tuple[bytes, str, str]]) -> str:
    """SHA-256 hex over the labels and the sorted (content hash, label, split): what a model was trained and tested on."""
    total = hashlib.sha256(json.dumps(list(labels)).encode())
    for digest, label, split in sorted(items):
        total.update(digest + json.dumps([label, split]).encode())
    return total.hexdigest()
