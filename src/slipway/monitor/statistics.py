"""What drift is judged by: numbers of an item's input that tell little of the item. Validation and the log share them."""

# N items, H/W px, C channels

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.bundle import BATCH
from slipway.preprocess import Preprocess, Raw
from slipway.preprocess.image import size_px
from slipway.preprocess.text import as_text


def brightness(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean pixel [N] of model inputs, 0 to 255."""
    return np.array([image.mean() for image in images_NHWC])


def lengths(feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Tokens [N] of encoded texts, special ones included; of TF-IDF the distinct terms that the vocabulary has."""
    found: NDArray[np.int64] = (feeds["attention_mask" if "attention_mask" in feeds else "counts"] > 0).sum(axis=1)
    return found


def of_items(items: Sequence[Raw], preprocess: Preprocess) -> list[dict[str, float]]:
    """The numbers of each item, by name. Encodes it once more.

    Returns: of images `brightness` and `contrast` (mean and standard deviation of the model's pixels, 0 to 255), and
        `height_px` and `width_px` as they were sent; of texts `length` (see `lengths`) and `characters`.
    """
    found: list[dict[str, float]] = []
    for start in range(0, len(items), BATCH):
        part = items[start : start + BATCH]
        feeds = preprocess.encode(part)
        if "image" in feeds:
            images = feeds["image"]
            for raw, image, mean in zip(part, images, brightness(images).tolist(), strict=True):
                assert not isinstance(raw, str), "encode refuses it"
                height, width = size_px(raw)
                found.append({"brightness": mean, "contrast": float(image.std()), "height_px": height, "width_px": width})
        else:
            rows = zip(part, lengths(feeds).tolist(), strict=True)
            found += [{"length": length, "characters": len(as_text(raw))} for raw, length in rows]
    return found
