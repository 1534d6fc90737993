"""A model's accuracy on parts of the test split, against the rest of it."""

# N items, K classes, S slices, H/W px, C channels

from collections.abc import Mapping
from math import sqrt
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import metrics
from slipway.data.dataset import Dataset
from slipway.evaluation.compare import holm

LEVEL = 0.05
"""Chance that any slice is called worse where none is."""
MIN_CLASS_ITEMS = 10
"""Of a class in a slice, for its recall to be given: the 95 % interval of fewer is wider than 50 points."""


def by_slice(
    labels_N: NDArray[np.integer],
    probabilities_NK: NDArray[np.floating],
    masks: Mapping[str, NDArray[np.bool_]],
    ranges: Mapping[str, str] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """A row of JSON values for each slice that has items, in the order of `masks`.

    `slice`, `n`, `accuracy` with `_low` and `_high` (95 %); `recall`: by class, None below MIN_CLASS_ITEMS items; `rest_n`,
    `rest_accuracy` of all other items; `difference` to them with `_low` and `_high` (95 %), None without other items;
    `p`: of Fisher's exact test that the slice is no worse than the rest, corrected for the number of slices (Holm); `worse`:
    whether that is below LEVEL, so that of equally good slices one is called worse in at most so many of the reports.

    Args:
        masks: name, such as `camera=3` -> bool [N], which items are in it; slices may overlap.
        ranges: what a name that does not tell stands for (see `item_slices`); given as `range`, empty where there is none.
    """
    from scipy.stats import hypergeom

    predicted_N = probabilities_NK.argmax(axis=1)
    right_N = predicted_N == labels_N
    shown = {name: mask_N for name, mask_N in masks.items() if mask_N.any()}
    total_n, total_right = len(right_N), int(right_N.sum())
    n_S = [int(mask_N.sum()) for mask_N in shown.values()]
    right_S = [int(right_N[mask_N].sum()) for mask_N in shown.values()]
    p_S = holm(hypergeom.cdf(right_S, total_n, total_right, n_S).tolist())
    rows = []
    for (name, mask_N), n, right, p in zip(shown.items(), n_S, right_S, p_S, strict=True):
        rest_n, rest_right = total_n - n, total_right - right
        low, high = metrics.wilson_interval(right, n)
        confusion_KK = metrics.confusion(labels_N[mask_N], predicted_N[mask_N], probabilities_NK.shape[1])
        recalls, counts = metrics.recall_per_class(confusion_KK).tolist(), confusion_KK.sum(axis=1).tolist()
        row: dict[str, Any] = {
            "slice": name,
            "range": ranges.get(name, ""),
            "n": n,
            "accuracy": right / n,
            "accuracy_low": low,
            "accuracy_high": high,
            "recall": [r if count >= MIN_CLASS_ITEMS else None for r, count in zip(recalls, counts, strict=True)],
            "rest_n": rest_n,
        }
        if rest_n:
            low, high = difference_interval(right, n, rest_right, rest_n)
            row |= {"rest_accuracy": rest_right / rest_n, "difference": right / n - rest_right / rest_n}
            row |= {"difference_low": low, "difference_high": high}
        else:
            row |= dict.fromkeys(("rest_accuracy", "difference", "difference_low", "difference_high"))
        rows.append(row | {"p": p, "worse": p < LEVEL})
    return rows


def difference_interval(successes: int, n: int, other_successes: int, other_n: int) -> tuple[float, float]:
    """Newcombe's hybrid score interval, 95 %, of the difference of two independent proportions (1998, Statistics in Medicine
    17:873, method 10).

    Args:
        n, other_n: above 0.
    Returns: lower and upper bound in [-1, 1].
    """
    p, q = successes / n, other_successes / other_n
    p_low, p_high = metrics.wilson_interval(successes, n)
    q_low, q_high = metrics.wilson_interval(other_successes, other_n)
    return p - q - sqrt((p - p_low) ** 2 + (q_high - q) ** 2), p - q + sqrt((p_high - p) ** 2 + (q - q_low) ** 2)


def item_slices(dataset: Dataset, split: str) -> tuple[dict[str, NDArray[np.bool_]], dict[str, str]]:
    """Slices that need no columns: thirds of a split by the length of its texts, or by the brightness of its images.

    Returns: masks as `by_slice` takes them, and by the same names the ranges, such as `62 to 130 characters`; none where
        all items are alike.
    """
    if dataset.kind == "text":
        lengths_N = np.array([len(text) for text in dataset.texts(split)])
        return _thirds("length", ("short", "middle", "long"), lengths_N, "characters")
    images_NHWC, _ = dataset.arrays(split)
    means_N = np.array([round(float(image_HWC.mean())) for image_HWC in images_NHWC])
    return _thirds("brightness", ("dark", "middle", "bright"), means_N, "gray levels of 255")


def _thirds(
    what: str, names: tuple[str, str, str], values_N: NDArray[np.int64], unit: str
) -> tuple[dict[str, NDArray[np.bool_]], dict[str, str]]:
    """Cut at values that occur, so that equal items are in the same third."""
    third_N = np.searchsorted(np.quantile(values_N, (1 / 3, 2 / 3), method="lower"), values_N, side="left")
    masks = {f"{what}={name}": third_N == i for i, name in enumerate(names) if (third_N == i).any()}
    if len(masks) == 1:
        return {}, {}
    return masks, {name: f"{values_N[mask].min()} to {values_N[mask].max()} {unit}" for name, mask in masks.items()}
