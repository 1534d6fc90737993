"""Synthetic items for the server's self-test, and what validation looks like, for drift."""

# N items, H/W px, C channels, K classes, L tokens or terms

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from slipway.preprocess.image import brightness

BINS = 20
TEXTS = (
    "a good film with a good heart",
    "not good, not bad",
    "",
    "   \n",
    "naïve café 北京 🙂 ΑΒΓ",
    "terrible! terrible? TERRIBLE...",
    "0 1 2 3 <br /> &amp; \\n",
    "long " * 300,
)


def selftest_items(meta: Mapping[str, Any]) -> list[bytes]:
    """Items no data set has: PNGs of seeded noise and gradients, or texts with every kind of character.

    Args:
        meta: model.json; its input size tells images from texts.
    """
    if not meta["input"]:
        return [text.encode() for text in TEXTS]
    height, width, channels = (meta["input"][k] for k in ("height_px", "width_px", "channels"))
    rng = np.random.default_rng(20_240_229)
    slope_HW = np.add.outer(np.linspace(0, 127, height), np.linspace(0, 128, width))
    images = [rng.integers(0, 256, (height, width, channels)) for _ in range(3)]
    images += [np.full((height, width, channels), value) for value in (0, 255)]
    images += [np.repeat(plane[:, :, None], channels, axis=2) for plane in (slope_HW, 255 - slope_HW)]
    tinted = np.stack([slope_HW * (c + 1) / channels for c in range(channels)], axis=2)  # tells the channels apart
    return [_png(image.astype(np.uint8)) for image in [*images, tinted, np.repeat(tinted, 2, axis=1)]]


def reference(
    *,
    feeds: Mapping[str, NDArray[Any]],
    probabilities_NK: NDArray[np.floating],
    train_labels_N: NDArray[np.integer],
) -> dict[str, NDArray[Any]]:
    """Arrays of reference.npz, from the validation split and the training labels.

    Args:
        feeds: of validation: `image` uint8 [N, H, W, C], or `length` [N] in tokens (distinct terms for TF-IDF).
        probabilities_NK: the model's answers to them, calibrated.
    Returns: class_prior [K] (shares of training), confidence_counts and confidence_edges, and of images
        brightness_counts and brightness_edges (mean pixel, 0 to 255), of texts length_counts and length_edges.
    """
    edges = np.linspace(0, 1, BINS + 1)
    out: dict[str, NDArray[Any]] = {
        "class_prior": np.bincount(train_labels_N, minlength=probabilities_NK.shape[1]) / len(train_labels_N),
        "confidence_counts": np.histogram(probabilities_NK.max(axis=1), edges)[0],
        "confidence_edges": edges,
    }
    if "image" in feeds:
        name, edges = "brightness", np.linspace(0, 255, BINS + 1)
        values = brightness(feeds["image"])
    else:
        name, values = "length", feeds["length"]
        edges = np.array([0, *(2**i for i in range(15))])
    return out | {f"{name}_counts": np.histogram(values, edges)[0], f"{name}_edges": edges}


def _png(image_HWC: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image_HWC[:, :, 0] if image_HWC.shape[2] == 1 else image_HWC).save(buffer, format="PNG")
    return buffer.getvalue()
