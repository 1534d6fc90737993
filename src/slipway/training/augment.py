"""Augmentation of whole uint8 batches, on their device. Random numbers come from the generator passed in, on the CPU."""

# B batch, H/W px, C channels

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slipway.training.recipe import TrainConfig

FAMILY_DEFAULTS: dict[str, dict[str, Any]] = {
    "cv": {"crop": 0.125, "flip": "horizontal", "quarter_turns": False},  # 4 px of 32, as is customary on CIFAR-10
    "defect": {"crop": 0.0, "flip": "both", "quarter_turns": True},  # a surface has no up
}
"""What a field that is left open means for a family."""
GRAY = 127
"""Erased pixels."""
LUMA = (0.299, 0.587, 0.114)
"""Rec. 601: the gray that saturation moves a pixel to or from."""


class Augment:
    """Varies each image of a batch on its own: the same generator state gives the same bits."""

    def __init__(self, config: TrainConfig, image_shape: tuple[int, int, int]) -> None:
        """`image_shape`: height, width, channels in pixels."""
        family = FAMILY_DEFAULTS.get(config.family, FAMILY_DEFAULTS["cv"])
        self._config = config
        self._height, self._width, self._channels = image_shape
        crop = family["crop"] if config.crop is None else config.crop
        self._shift = round(crop * self._height), round(crop * self._width)
        self._flip = family["flip"] if config.flip == "auto" else config.flip
        turns = family["quarter_turns"] if config.quarter_turns is None else config.quarter_turns
        self._turns = turns and self._height == self._width
        self._erased = round(config.erase * min(self._height, self._width))

    def __call__(self, images_BHWC: Tensor, rng: np.random.Generator, *, positions_B: NDArray[np.int64], epoch: int) -> Tensor:
        """uint8 [B, H, W, C] -> the same shape, type and device; the input is left as it is.

        Args:
            positions_B: of the images among the training items; with `epoch`, they say which are mirrored in turn.
        """
        config = self._config
        images = self._place(images_BHWC, rng)
        if self._flip != "none":
            in_turn = self._flip == "alternate"
            mirrored_B = _turn_of(positions_B, epoch) if in_turn else rng.random(len(images)) >= 0.5
            images = _changed(images, mirrored_B, lambda some: some.flip(2))
        if self._turns:  # with both mirrors, transposing half of them reaches all eight positions
            images = _changed(images, rng.random(len(images)) >= 0.5, lambda some: some.transpose(1, 2))
        if config.rotate or config.zoom:
            images = _turn(images, rng, config.rotate, config.zoom)
        if config.jitter:
            images = _jitter(images, rng, config.jitter)
        if self._erased:
            images = _erase(images if images is not images_BHWC else images.clone(), rng, self._erased)
        return images

    def _place(self, images_BHWC: Tensor, rng: np.random.Generator) -> Tensor:
        """Shift, edges reflected, and mirror upside down, which is a matter of rows, too."""
        if self._flip != "both" and self._shift == (0, 0):
            return images_BHWC
        batch, (most_down, most_right) = len(images_BHWC), self._shift
        rows_BH = np.abs(np.arange(self._height) + rng.integers(-most_down, most_down + 1, (batch, 1)))
        rows_BH = np.minimum(rows_BH, 2 * (self._height - 1) - rows_BH)
        first_B1 = rng.integers(0, 2 * most_right + 1, (batch, 1))
        if self._flip == "both":
            rows_BH = np.where(rng.random((batch, 1)) < 0.5, rows_BH, rows_BH[:, ::-1])
        return _windows(images_BHWC, rows_BH, first_B1, most_right)


def _windows(images_BHWC: Tensor, rows_BH: NDArray[np.int64], first_B1: NDArray[np.int64], margin: int) -> Tensor:
    """images[b, rows[b, h], first[b] - margin + w], columns reflected at the edges; each row is copied as one piece.

    With a lookup of single pixels all of augmentation took 1.3 times as long at 32 px, four times at 200.
    """
    batch, height, width, channels = images_BHWC.shape
    beyond = (torch.arange(first, first - margin, -1, device=images_BHWC.device) for first in (margin, width - 2))
    left, right = (images_BHWC.index_select(2, columns) for columns in beyond)
    lines = torch.cat([left, images_BHWC, right], dim=2)
    starts_BH = (np.arange(batch)[:, None] * height + rows_BH) * (width + 2 * margin) + first_B1
    at = torch.from_numpy(starts_BH.reshape(-1)).to(lines.device)
    return lines.view(-1).unfold(0, width * channels, channels).index_select(0, at).view(images_BHWC.shape)


def _turn_of(positions_B: NDArray[np.int64], epoch: int) -> NDArray[np.bool_]:
    """Half of the images, the same ones in every second epoch and the others between: Jordan 2024, arXiv:2404.00498."""
    coin_B = positions_B * 2_654_435_761 >> 16  # Knuth's multiplicative hash: neighbours differ
    return np.asarray((coin_B + epoch) % 2 == 1)


def _changed(images_BHWC: Tensor, chosen_B: NDArray[np.bool_], change: Callable[[Tensor], Tensor]) -> Tensor:
    """The batch with some of its images changed; whole images are chosen, not pixel by pixel as torch.where does."""
    at_B = np.arange(len(images_BHWC))
    changed = change(images_BHWC.index_select(0, torch.from_numpy(at_B[chosen_B]).to(images_BHWC.device)))
    order_B = np.where(chosen_B, len(at_B) + np.cumsum(chosen_B) - 1, at_B)
    return torch.cat([images_BHWC, changed]).index_select(0, torch.from_numpy(order_B).to(images_BHWC.device))


def _turn(images_BHWC: Tensor, rng: np.random.Generator, degrees: float, zoom: float) -> Tensor:
    """Turn by up to `degrees` and scale by up to `zoom` about the centre, bilinear, edges reflected."""
    batch, height, width, _ = images_BHWC.shape
    angle_B = np.radians(rng.uniform(-1, 1, batch) * degrees)
    scale_B = 1 / rng.uniform(1 - zoom, 1 + zoom, batch)
    cosine, sine, aspect = np.cos(angle_B) * scale_B, np.sin(angle_B) * scale_B, width / height
    zero = np.zeros(batch)
    matrix = np.stack([np.stack([cosine, -sine / aspect, zero], 1), np.stack([sine * aspect, cosine, zero], 1)], 1)
    theta = torch.from_numpy(matrix).float().to(images_BHWC.device)
    x_BCHW = images_BHWC.permute(0, 3, 1, 2).float()
    grid = torch.nn.functional.affine_grid(theta, list(x_BCHW.shape), align_corners=False)
    turned = torch.nn.functional.grid_sample(x_BCHW, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return turned.permute(0, 2, 3, 1).round().clamp(0, 255).to(torch.uint8).contiguous()


def _jitter(images_BHWC: Tensor, rng: np.random.Generator, strength: float) -> Tensor:
    """Brightness, contrast and, of colour images, saturation: each by a factor of 1 ± strength of its own."""
    batch, channels = len(images_BHWC), images_BHWC.shape[3]
    factors = torch.from_numpy(rng.uniform(1 - strength, 1 + strength, (3, batch, 1, 1, 1))).float().to(images_BHWC.device)
    x = images_BHWC.float() * factors[0]
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = mean + (x - mean) * factors[1]
    if channels == 3:
        gray = (x * torch.tensor(LUMA, device=x.device)).sum(dim=3, keepdim=True)
        x = gray + (x - gray) * factors[2]
    return x.round().clamp(0, 255).to(torch.uint8)


def _erase(images_BHWC: Tensor, rng: np.random.Generator, side: int) -> Tensor:
    """Set one square of each image to gray, in place; it lies wholly inside."""
    images = images_BHWC.contiguous()
    batch, height, width, channels = images.shape
    top_B, left_B = (rng.integers(0, n - side + 1, (batch, 1)) for n in (height, width))
    rows = np.arange(batch)[:, None] * height + top_B + np.arange(side)
    flat = (rows[:, :, None] * width + left_B[:, :, None] + np.arange(side)).reshape(-1)
    images.view(-1, channels)[torch.from_numpy(flat).to(images.device)] = GRAY
    return images
