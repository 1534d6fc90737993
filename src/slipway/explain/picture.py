"""Explanations as people see them: a heatmap over its image, and the words of a text with their strength."""

# H/W px, C channels

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slipway.explain.explanation import Explanation

STOPS = ((32, 16, 72), (140, 40, 110), (228, 100, 60), (255, 222, 120))
"""From cold to hot, evenly spaced; lightness rises all the way, so that it reads in gray and to the colour-blind."""
LEAST_PX = 256
"""Smaller images are enlarged to it, pixel by pixel, so that the map over them is smooth."""


def colours(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Values 0..1 of any shape -> uint8 [..., 3]."""
    at = np.linspace(0, 1, len(STOPS))
    channels = [np.interp(values, at, [stop[c] for stop in STOPS]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def overlay(image_HWC: NDArray[np.uint8], heatmap: NDArray[np.float32]) -> Image.Image:
    """The image in gray under its heatmap, RGB; the map is upsampled, and the clearer the hotter.

    Args:
        image_HWC: as the model sees it, 1 or 3 channels.
        heatmap: 0..1, of any resolution.
    """
    gray = Image.fromarray(image_HWC[..., 0] if image_HWC.shape[2] == 1 else image_HWC).convert("L")
    times = max(1, -(-LEAST_PX // max(gray.size)))
    gray = gray.resize((gray.width * times, gray.height * times), Image.Resampling.NEAREST)
    heat = Image.fromarray(heatmap.astype(np.float32)).resize(gray.size, Image.Resampling.BICUBIC)
    heat_HW = np.clip(np.asarray(heat), 0, 1)
    weight_HW1 = (0.2 + 0.5 * heat_HW)[..., None]
    mixed = (1 - weight_HW1) * np.asarray(gray)[..., None] + weight_HW1 * colours(heat_HW)
    return Image.fromarray(mixed.round().astype(np.uint8))


def spans(text: str, explanation: Explanation) -> list[tuple[str, float]]:
    """The text cut into pieces, which joined give it again, each with its strength: -1..1 of the strongest, 0 between words."""
    assert explanation.attributions_T is not None
    scale = max(float(np.abs(explanation.attributions_T).max(initial=0)), 1e-9)
    pieces, end = [], 0
    for token, value in zip(explanation.tokens, explanation.attributions_T, strict=True):
        pieces += [(text[end : token.start], 0.0), (token.text, float(value) / scale)]
        end = token.end
    return [(piece, strength) for piece, strength in [*pieces, (text[end:], 0.0)] if piece]


def beginning(pieces: list[tuple[str, float]], chars: int) -> list[tuple[str, float]]:
    """The first so many characters of `spans`."""
    kept = []
    for piece, strength in pieces:
        if chars <= 0:
            break
        kept.append((piece[:chars], strength))
        chars -= len(piece)
    return kept
