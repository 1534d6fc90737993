"""Heatmaps of images: the graph's own class activation map, or occlusion (Zeiler and Fergus, 2014)."""

# N images, H/W px, C channels, P patches

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.bundle import BATCH, Bundle
from slipway.explain.explanation import log_odds
from slipway.preprocess import Raw

CELLS = 8
"""Of the grid, along each side; a patch covers two by two of them and moves by one: 49 answers an image, of any size."""
MIN_DROP = 1e-3
"""Smaller falls of the log-odds are rounding, not a reason: the map stays empty."""
BATCH_BYTES = 1 << 24
"""Of pixels in a call of the engine: large images go in smaller batches."""


def cam(bundle: Bundle, raw: Raw, index: int, _base: float) -> dict[str, Any]:
    """Fields of an `Explanation`: what each cell of the last features adds to the logit of class `index`."""
    return {"method": "cam", **_scaled(bundle.heatmap(bundle.preprocess.encode([raw]))[0, index], 0)}


def occlusion(bundle: Bundle, raw: Raw, index: int, base: float) -> dict[str, Any]:
    """Fields of an `Explanation`: the fall of log-odds by cell, the mean of all patches that cover it.

    Args:
        base: log-odds of class `index` for the whole image.
    """
    image_HWC = bundle.preprocess.encode([raw])["image"][0]
    side = CELLS - 1
    masks_P = np.zeros((side * side, CELLS, CELLS), bool)
    for p in range(side * side):
        row, column = divmod(p, side)
        masks_P[p, row : row + 2, column : column + 2] = True
    fall_P = base - log_odds(covered(bundle, image_HWC, masks_P), index)
    fall_HW = (masks_P * fall_P[:, None, None]).sum(axis=0) / masks_P.sum(axis=0)
    return {"method": "occlusion", **_scaled(fall_HW, MIN_DROP)}


def covered(bundle: Bundle, image_HWC: NDArray[np.uint8], masks_P: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Probabilities [P, K] of the image with cells covered by its mean colour, which keeps its brightness.

    Args:
        image_HWC: as the model sees it.
        masks_P: bool [P, h, w], any grid over the image, true where it is covered.
    """
    rows_H, columns_W = (np.arange(px) * cells // px for px, cells in zip(image_HWC.shape, masks_P.shape[1:], strict=False))
    mean_C = image_HWC.mean(axis=(0, 1)).round().astype(np.uint8)
    many = int(np.clip(BATCH_BYTES // image_HWC.size, 1, BATCH))
    answers = []
    for start in range(0, len(masks_P), many):
        masks_NHW = masks_P[start : start + many][:, rows_H][:, :, columns_W]
        answers.append(bundle.run({"image": np.where(masks_NHW[..., None], mean_C, image_HWC)}))
    return np.concatenate(answers)


def _scaled(worth_HW: NDArray[np.floating], least: float) -> dict[str, Any]:
    """What each cell is worth as a map of 0..1 and its scale; empty where nothing is worth more than `least`."""
    largest = max(0.0, float(worth_HW.max()))
    heatmap_HW = np.clip(worth_HW / largest, 0, 1) if largest > least else np.zeros_like(worth_HW)
    return {"largest": largest, "heatmap_HW": heatmap_HW.astype(np.float32)}
