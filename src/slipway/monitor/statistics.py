"""What drift is judged by: numbers of an item's input that tell little of the item. Validation and the log share them."""

from collections.abc import Sequence

from slipway.bundle import BATCH
from slipway.preprocess import Preprocess, Raw
from slipway.preprocess.image import brightness, size_px
from slipway.preprocess.text import as_text, lengths


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
