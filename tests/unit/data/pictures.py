"""Small real images, encoded."""

import io

import numpy as np
from PIL import Image


def encoded(value: int, *, mode: str = "RGB", size: tuple[int, int] = (20, 16), suffix: str = "PNG", **options) -> bytes:
    """A noisy image; equal values give equal images."""
    rng = np.random.default_rng(value)
    image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).convert(mode)
    out = io.BytesIO()
    image.save(out, suffix, **options)
    return out.getvalue()
