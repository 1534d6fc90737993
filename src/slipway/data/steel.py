"""`steel`: generated gray textures that look like the six defects of NEU-CLS."""

# B images of a block, H/W px

import numpy as np
from numpy.typing import NDArray

from slipway.data.neu_cls import LABELS
from slipway.data.noise import balanced, flip_labels
from slipway.data.raw import BlockItems, Item, RawData, Request

IMAGE_PX = 64
BLOCK = 120
"""Images made at once; a multiple of the noise's group and of the number of classes."""

Field = NDArray[np.float64]
"""[B, H, W]. Not float32: its sines and exponentials differ in the last bit between processors, and a pixel with them."""


def read(request: Request) -> RawData:
    """`request.size` textures of 64x64 px, of any strength and lighting; one label in 20 is wrong."""
    items = BlockItems(request.size, BLOCK, lambda block: _block(block, request.seed))
    return RawData(name="steel", kind="image", labels=LABELS, items=items)


def _block(block: int, seed: int) -> list[Item]:
    rng = np.random.default_rng([seed, block])
    truth = balanced(BLOCK, len(LABELS), rng)
    labels = flip_labels(truth, len(LABELS), rng)
    images = np.empty((BLOCK, IMAGE_PX, IMAGE_PX, 1), np.uint8)
    for index, name in enumerate(LABELS):
        at = np.flatnonzero(truth == index)
        images[at, :, :, 0] = _surface(TEXTURES[name](len(at), rng), rng)
    start = block * BLOCK
    return [Item(images[i], LABELS[labels[i]], f"{start + i:05d} made as {LABELS[truth[i]]}") for i in range(BLOCK)]


def _surface(defect_BHW: Field, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The defect (-1 dark to 1 bright) on rolled steel: brightness, a slope of light, grain."""
    count = len(defect_BHW)
    level = rng.uniform(90, 170, (count, 1, 1))
    strength = rng.uniform(25, 75, (count, 1, 1))
    ramp = np.linspace(-1, 1, IMAGE_PX)
    slopes = rng.uniform(-25, 25, (2, count, 1, 1))
    light = slopes[0] * ramp[:, None] + slopes[1] * ramp[None, :]
    grain = rng.normal(0, 1, defect_BHW.shape) * rng.uniform(4, 14, (count, 1, 1)) + 6 * _noise(count, rng, 0.35, 0.35)
    surface: NDArray[np.uint8] = np.clip(level + light + grain + strength * defect_BHW, 0, 255).astype(np.uint8)
    return surface


def _noise(count: int, rng: np.random.Generator, down: float, across: float) -> Field:
    """Smooth noise of mean 0 and spread 1; `down` and `across` are its cut-off in cycles per px (small: long features)."""
    fy, fx = np.fft.fftfreq(IMAGE_PX)[:, None], np.fft.rfftfreq(IMAGE_PX)[None, :]
    keep = np.exp(-((fy / down) ** 2) - (fx / across) ** 2)
    spectrum = np.fft.rfft2(rng.normal(0, 1, (count, IMAGE_PX, IMAGE_PX))) * keep
    spectrum[:, 0, 0] = 0
    field = np.fft.irfft2(spectrum, s=(IMAGE_PX, IMAGE_PX))
    normal: Field = field / field.std(axis=(1, 2), keepdims=True)
    return normal


def _above(field: Field, threshold: float, softness: float) -> Field:
    above: Field = np.clip((field - threshold) / softness, 0, 1)
    return above


def _crazing(count: int, rng: np.random.Generator) -> Field:
    """A net of fine dark cracks."""
    cracks: Field = np.exp(-((_noise(count, rng, 0.11, 0.11) / 0.22) ** 2))
    return -cracks


def _inclusion(count: int, rng: np.random.Generator) -> Field:
    """A few long dark marks along the rolling direction."""
    return -_above(_noise(count, rng, 0.025, 0.11), 1.1, 0.5)


def _patches(count: int, rng: np.random.Generator) -> Field:
    """Large dark areas."""
    return -_above(_noise(count, rng, 0.035, 0.035), 0.1, 0.4)


def _pitted_surface(count: int, rng: np.random.Generator) -> Field:
    """Many small dark pits."""
    return -_above(_noise(count, rng, 0.16, 0.16), 1.2, 0.5)


def _rolled_in_scale(count: int, rng: np.random.Generator) -> Field:
    """Short bright and dark scales lying across."""
    scales: Field = np.tanh(1.5 * _noise(count, rng, 0.16, 0.05))
    return scales


def _scratches(count: int, rng: np.random.Generator) -> Field:
    """One to three straight bright lines, nearly upright."""
    y, x = np.meshgrid(*[np.arange(IMAGE_PX) - (IMAGE_PX - 1) / 2] * 2, indexing="ij")
    scratches = np.zeros((count, IMAGE_PX, IMAGE_PX))
    for nth in range(3):
        angle = rng.uniform(-0.35, 0.35, (count, 1, 1))
        offset = rng.uniform(-0.4, 0.4, (count, 1, 1)) * IMAGE_PX
        width_px = rng.uniform(0.8, 2.2, (count, 1, 1))
        line = np.exp(-(((x * np.cos(angle) + y * np.sin(angle) - offset) / width_px) ** 2))
        drawn = rng.uniform(0, 1, (count, 1, 1)) < (1.0, 0.6, 0.3)[nth]
        scratches = np.maximum(scratches, line * drawn)
    return scratches


TEXTURES = {
    "crazing": _crazing,
    "inclusion": _inclusion,
    "patches": _patches,
    "pitted_surface": _pitted_surface,
    "rolled-in_scale": _rolled_in_scale,
    "scratches": _scratches,
}
