"""`shapes`: generated geometric shapes as PNG images."""

# B images of a block, H/W px, C channels

import numpy as np
from numpy.typing import NDArray

from slipway.data.images import encode_png
from slipway.data.noise import balanced, flip_labels
from slipway.data.raw import BlockItems, Item, RawData, Request

LABELS = ("circle", "cross", "square", "star", "triangle")
IMAGE_PX = 48
BLOCK = 100
"""Images drawn at once; a multiple of the noise's group and of the number of classes."""


def read(request: Request) -> RawData:
    """`request.size` shapes, bright on dark, of any place, size and colour, a little turned; one label in 20 is wrong."""
    items = BlockItems(request.size, BLOCK, lambda block: _block(block, request.seed))
    return RawData(name="shapes", kind="image", labels=LABELS, items=items)


def _block(block: int, seed: int) -> list[Item]:
    rng = np.random.default_rng([seed, block])
    truth = balanced(BLOCK, len(LABELS), rng)
    labels = flip_labels(truth, len(LABELS), rng)
    images = _draw(truth, rng)
    start = block * BLOCK
    return [
        Item(encode_png(images[i]), LABELS[labels[i]], f"{start + i:05d} drawn as {LABELS[truth[i]]}") for i in range(BLOCK)
    ]


def _draw(shape_B: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One shape per image, uint8 [B, H, W, 3], edges smoothed over a pixel."""
    count = len(shape_B)

    def each(low: float, high: float, *shape: int) -> NDArray[np.float64]:
        return rng.uniform(low, high, (count, 1, 1, *shape))

    radius = each(0.34, 0.46) * IMAGE_PX
    margin = IMAGE_PX / 2 - radius
    y, x = np.meshgrid(*[np.arange(IMAGE_PX) - (IMAGE_PX - 1) / 2] * 2, indexing="ij")
    y_BHW, x_BHW = y - each(-1, 1) * margin, x - each(-1, 1) * margin
    turn = each(-0.3, 0.3)
    r_BHW, angle_BHW = np.hypot(x_BHW, y_BHW), np.arctan2(y_BHW, x_BHW) + np.pi / 2 - turn

    edge_BHW = np.empty_like(r_BHW)
    for index, name in enumerate(LABELS):
        at = shape_B == index
        edge_BHW[at] = EDGES[name](angle_BHW[at])
    inside_BHW = np.clip((edge_BHW * radius - r_BHW) + 0.5, 0, 1)[..., None]

    back, front = each(10, 110, 3), each(130, 250, 3)  # always bright on dark: 120 images are enough to learn from
    grain = rng.standard_normal((count, IMAGE_PX, IMAGE_PX, 3)) * each(4, 14, 1)
    drawn: NDArray[np.uint8] = np.clip(back + (front - back) * inside_BHW + grain, 0, 255).astype(np.uint8)
    return drawn


Angles = NDArray[np.float64]
"""From the upright direction, radians; the functions below give the edge's distance there, for a shape of radius 1.

Not float32: its sines differ in the last bit between processors, and a pixel with them.
"""


def _circle(angle: Angles) -> Angles:
    return np.ones_like(angle)


def _polygon(angle: Angles, corners: int) -> Angles:
    half = np.pi / corners
    edge: Angles = np.cos(half) / np.cos((angle % (2 * half)) - half)
    return edge


def _square(angle: Angles) -> Angles:
    return _polygon(angle + np.pi / 4, 4)


def _triangle(angle: Angles) -> Angles:
    return _polygon(angle, 3)


def _star(angle: Angles, points: int = 5, inner: float = 0.42) -> Angles:
    """Straight lines from the points at distance 1 to the notches at distance `inner` between them."""
    half = np.pi / points
    away = np.abs((angle + half) % (2 * half) - half)  # from the nearest point's direction, 0 to half
    edge: Angles = inner * np.sin(half) / (inner * np.sin(half - away) + np.sin(away))
    return edge


def _cross(angle: Angles, arm: float = 0.32) -> Angles:
    """A plus sign whose arms are 2 x `arm` wide and reach to 1."""
    cos, sin = np.abs(np.cos(angle)), np.abs(np.sin(angle))
    along, across = np.maximum(cos, sin), np.minimum(cos, sin)
    edge: Angles = np.maximum(np.minimum(1 / along, arm / np.maximum(across, 1e-6)), arm / along)
    return edge


EDGES = {"circle": _circle, "cross": _cross, "square": _square, "star": _star, "triangle": _triangle}
