"""What is in a prepared data set, in numbers."""

# N items, H/W px, C channels

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.data.dataset import Dataset
from slipway.data.split import SPLITS

SAMPLED = 1000
"""Images that pixels are taken from: the first of a split, which is a random sample of it."""
QUANTILES = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "most": 1.0}


def describe(dataset: Dataset) -> dict[str, Any]:
    """Counts by class and split, copies, and what the items are like, as JSON values.

    Returns: name, family, kind, description, items, counts (by split, then class), imbalance (largest class by smallest),
        duplicates, test_items_also_in_train, skipped (with reasons). Of images: input (H, W, C of the model's), width_px and
        height_px (QUANTILES, as they came; not in data sets of versions that did not keep it), mean and sd (0 to 255, by
        channel), pixels_of (images these are of). Of texts: characters and words (QUANTILES).
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
    kept = [sizes_N2 for split in SPLITS if (sizes_N2 := dataset.sizes(split)) is not None]
    sizes = dict(zip(("width_px", "height_px"), map(_quantiles, np.concatenate(kept).T), strict=True)) if kept else {}
    split = max(SPLITS, key=lambda name: len(dataset.label_indices(name)))
    pixels_NHWC = dataset.arrays(split)[0][:SAMPLED].astype(np.float64)
    return {
        "input": list(pixels_NHWC.shape[1:]),
        **sizes,
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


def _quantiles(values_N: NDArray[np.integer]) -> dict[str, int]:
    """Values that occur, so that a size is one that an image has."""
    return {name: int(np.quantile(values_N, q, method="nearest")) for name, q in QUANTILES.items()}
