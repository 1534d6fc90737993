"""Augmentation of whole uint8 batches, on their device. Random numbers come from the generator passed in, on the CPU."""

# B batch, H/W px, C channels

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Augment = Callable[[Tensor, np.random.Generator], Tensor]
"""uint8 [B, H, W, C] and a generator -> the same shape and type."""
SHIFT = 8
"""Shifts are up to 1/SHIFT of the side: 4 px of 32, as is customary on CIFAR-10."""


def shift_and_mirror(images_BHWC: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift by up to 1/SHIFT of each side, edges reflected, and mirror left to right every other image."""
    batch, height, width, _ = images_BHWC.shape
    rows_BH = _shifted(rng, batch, height)
    columns_BW = _shifted(rng, batch, width)
    return _pick(images_BHWC, rows_BH, _mirrored(rng, columns_BW))


def turn_and_mirror(images_BHWC: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirror both ways, each with even odds, and turn square images by a multiple of 90 degrees: a surface has no up."""
    batch, height, width, _ = images_BHWC.shape
    rows_BH = _mirrored(rng, np.broadcast_to(np.arange(height), (batch, height)))
    columns_BW = _mirrored(rng, np.broadcast_to(np.arange(width), (batch, width)))
    turned = _pick(images_BHWC, rows_BH, columns_BW)
    if height == width:  # with both mirrors, transposing half of them reaches all eight positions
        swap = torch.from_numpy(rng.random(batch) < 0.5).to(images_BHWC.device)
        turned = torch.where(swap[:, None, None, None], turned.transpose(1, 2), turned)
    return turned


AUGMENTS: dict[str, Augment] = {"cv": shift_and_mirror, "defect": turn_and_mirror}
"""Family -> augmentation."""


def _shifted(rng: np.random.Generator, batch: int, side: int) -> NDArray[np.int64]:
    """Source positions [batch, side] of a shift, reflected at the edges."""
    most = side // SHIFT
    at = np.abs(np.arange(side) + rng.integers(-most, most + 1, (batch, 1)))
    return np.asarray(np.where(at >= side, 2 * (side - 1) - at, at))


def _mirrored(rng: np.random.Generator, positions_BN: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.where(rng.random((len(positions_BN), 1)) < 0.5, positions_BN, positions_BN[:, ::-1]))


def _pick(images_BHWC: Tensor, rows_BH: NDArray[np.int64], columns_BW: NDArray[np.int64]) -> Tensor:
    """images[b, rows[b, h], columns[b, w]] as one lookup of whole pixels."""
    batch, height, width, channels = images_BHWC.shape
    first_B = np.arange(batch)[:, None, None] * height
    flat = torch.from_numpy(((first_B + rows_BH[:, :, None]) * width + columns_BW[:, None, :]).reshape(-1))
    pixels = images_BHWC.reshape(-1, channels).index_select(0, flat.to(images_BHWC.device))
    return pixels.view(batch, height, width, channels)
