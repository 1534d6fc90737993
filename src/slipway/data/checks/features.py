"""Images as numbers that a linear model can use: directions of gradients, textures, colours."""

# N items, H/W px, C channels, D numbers that describe an item

import numpy as np
from numpy.typing import NDArray

from slipway.data.checks.near_images import SIDE_PX, small_gray

CELL_PX, DIRECTIONS = 4, 8
COLOUR_PX = 4
"""Colours are described by so many means along each side."""
NEIGHBOURS = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
NOISE = 2
"""Gray levels by which a neighbour must be brighter to count."""


def image_features(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 [N, D] of uint8 images; D does not depend on their size."""
    gray_NHW = images_NHWC.mean(axis=3, dtype=np.float32)
    parts = [_gradients(images_NHWC), _textures(gray_NHW), _textures(_halved(gray_NHW)), _colours(images_NHWC)]
    return np.concatenate(parts, 1).astype(np.float32)


def _gradients(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Strength of the gradients of each direction in each cell: a plain histogram of oriented gradients."""
    gray_NHW = small_gray(images_NHWC)
    down_NHW, right_NHW = np.gradient(gray_NHW, axis=(1, 2))
    strength_NHW = np.hypot(down_NHW, right_NHW)
    direction_NHW = ((np.arctan2(down_NHW, right_NHW) / (2 * np.pi) % 1) * DIRECTIONS).astype(np.int64) % DIRECTIONS
    cells = SIDE_PX // CELL_PX
    parts = []
    for direction in range(DIRECTIONS):
        mine_NHW = np.where(direction_NHW == direction, strength_NHW, 0)
        parts.append(mine_NHW.reshape(-1, cells, CELL_PX, cells, CELL_PX).mean((2, 4)).reshape(len(gray_NHW), -1))
    gradients_ND = np.sqrt(np.concatenate(parts, 1))
    return np.asarray(gradients_ND / np.maximum(np.linalg.norm(gradients_ND, axis=1, keepdims=True), 1e-3))


def _textures(gray_NHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Local binary patterns: how often which of a pixel's neighbours are brighter than it; 256 roots of shares."""
    _, height, width = gray_NHW.shape
    centre_NHW = gray_NHW[:, 1:-1, 1:-1] + NOISE
    pattern_NHW = np.zeros(centre_NHW.shape, np.int64)
    for bit, (dy, dx) in enumerate(NEIGHBOURS):
        neighbour_NHW = gray_NHW[:, 1 + dy : height - 1 + dy, 1 + dx : width - 1 + dx]
        pattern_NHW |= (neighbour_NHW > centre_NHW).astype(np.int64) << bit
    patterns = 2 ** len(NEIGHBOURS)
    flat_NP = pattern_NHW.reshape(len(gray_NHW), -1)
    counted = np.bincount((flat_NP + patterns * np.arange(len(flat_NP))[:, None]).ravel(), minlength=patterns * len(flat_NP))
    return np.asarray(np.sqrt(counted.reshape(len(flat_NP), patterns) / flat_NP.shape[1]), np.float32)


def _halved(gray_NHW: NDArray[np.float32]) -> NDArray[np.float32]:
    count, height, width = gray_NHW.shape
    even_NHW = gray_NHW[:, : height // 2 * 2, : width // 2 * 2]
    return np.asarray(even_NHW.reshape(count, height // 2, 2, width // 2, 2).mean((2, 4)))


def _colours(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    count, height, width, _ = images_NHWC.shape
    rows, columns = (np.arange(COLOUR_PX) * side // COLOUR_PX for side in (height, width))
    sums = np.add.reduceat(np.add.reduceat(images_NHWC, rows, 1, dtype=np.float32), columns, 2)
    return np.asarray(sums.reshape(count, -1) * (COLOUR_PX / (height * width * 255)))
