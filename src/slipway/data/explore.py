"""What is in a prepared data set, in numbers."""

# N items, H/W px, C channels

import io
from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from slipway.data.dataset import Dataset
from slipway.data.split import SPLITS

SAMPLED = 1000
"""Images that sizes and pixels are taken from: the first of a split, which is a random sample of it."""
QUANTILES = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "most": 1.0}


def describe(dataset: Dataset) -> dict[str, Any]:
    """Counts by class and split, copies, and what the items are like, as JSON values.

    Returns: name, family, kind, description, items, counts (by split, then class), imbalance (largest class by smallest),
        duplicates, test_items_also_in_train, skipped (with reasons); of images input (H, W, C of the model's), width_px and
        height_px (of original files), mean and sd (by channel, 0 to 255); of texts characters and words. The last four are
        given as QUANTILES or by channel.
    """
    totals = Counter[str]()
    for per_label in dataset.counts.values():
        totals.update(per_label)
    smallest = min(totals.values())
    found = {
        "name": dataset.name,
        "family": dataset.family,
        "kind": dataset.kind,
        "description": dataset.meta["description"],
        "items": totals.total(),
        "counts": {split: dict(dataset.counts[split]) for split in SPLITS},
        "imbalance": max(totals.values()) / smallest if smallest else None,
        **{name: dataset.meta[name] for name in ("duplicates", "test_items_also_in_train", "skipped")},
    }
    return found | (_images(dataset) if dataset.kind == "image" else _texts(dataset))


def _images(dataset: Dataset) -> dict[str, Any]:
    sizes_N2 = np.array([_size(raw) for raw in islice(dataset.raw("test"), SAMPLED)])
    split = max(SPLITS, key=lambda name: len(dataset.label_indices(name)))
    pixels_NHWC = dataset.arrays(split)[0][:SAMPLED].astype(np.float64)
    return {
        "input": list(pixels_NHWC.shape[1:]),
        "width_px": _quantiles(sizes_N2[:, 0]),
        "height_px": _quantiles(sizes_N2[:, 1]),
        "sizes_of": len(sizes_N2),
        "mean": [float(v) for v in pixels_NHWC.mean(axis=(0, 1, 2))],
        "sd": [float(v) for v in pixels_NHWC.std(axis=(0, 1, 2))],
        "pixels_of": len(pixels_NHWC),
    }


def _texts(dataset: Dataset) -> dict[str, Any]:
    texts = [text for split in SPLITS for text in dataset.texts(split)]
    return {
        "characters": _quantiles(np.array([len(text) for text in texts])),
        "words": _quantiles(np.array([len(text.split()) for text in texts])),
    }


def _size(raw: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(raw)) as image:
        return image.size


def _quantiles(values_N: np.ndarray) -> dict[str, int]:
    """Values that occur, so that a size is one that an image has."""
    return {name: int(np.quantile(values_N, q, method="nearest")) for name, q in QUANTILES.items()}
