"""Images mixed in pairs, and their targets with them: mixup (arXiv:1710.09412) and cutmix (arXiv:1905.04899)."""

# B batch, H/W px, C channels, K targets

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slipway.training.recipe import TrainConfig


def mix(images_BHWC: Tensor, targets_BK: Tensor, rng: np.random.Generator, config: TrainConfig) -> tuple[Tensor, Tensor]:
    """Mix each image with a partner of the same batch; with both kinds switched on, either has even odds for the batch.

    Args:
        images_BHWC: uint8 [B, H, W, C].
        targets_BK: float32 [B, K]; any columns that may be averaged.
        rng: gives partners, shares and boxes.
    Returns: new tensors of the same shapes and types.
    """
    partner_B = torch.from_numpy(rng.permutation(len(images_BHWC))).to(images_BHWC.device)
    cut = bool(config.cutmix) and (not config.mixup or rng.random() < 0.5)
    alpha = config.cutmix if cut else config.mixup
    share_B = rng.beta(alpha, alpha, len(images_BHWC))
    if cut:
        images, share_B = _paste(images_BHWC, partner_B, share_B, rng)
    else:
        kept = torch.from_numpy(share_B).float().to(images_BHWC.device)[:, None, None, None]
        blended = torch.lerp(images_BHWC[partner_B].float(), images_BHWC.float(), kept)
        images = blended.round().to(torch.uint8)
    kept_B1 = torch.from_numpy(share_B).float().to(targets_BK.device)[:, None]
    return images, torch.lerp(targets_BK[partner_B], targets_BK, kept_B1)


def _paste(
    images_BHWC: Tensor, partner_B: Tensor, share_B: NDArray[np.float64], rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.float64]]:
    """A box of the partner in each image, of about 1 - share of its area; returns the exact share that is left."""
    batch, height, width, _ = images_BHWC.shape
    side_B = np.sqrt(1 - share_B)
    inside = []
    for size in (height, width):
        half_B, centre_B = side_B * size / 2, rng.random(batch) * size
        low_B, high_B = (np.clip(np.rint(centre_B + sign * half_B), 0, size).astype(np.int64) for sign in (-1, 1))
        inside.append((np.arange(size) >= low_B[:, None]) & (np.arange(size) < high_B[:, None]))
    box_BHW1 = torch.from_numpy(inside[0][:, :, None, None] & inside[1][:, None, :, None]).to(images_BHWC.device)
    left_B = 1 - inside[0].mean(axis=1) * inside[1].mean(axis=1)
    return torch.where(box_BHW1, images_BHWC[partner_B], images_BHWC), left_B
