"""Small prepared data sets that any model learns in a moment, made by the real `prepare`."""

import numpy as np

from slipway.data.dataset import Dataset
from slipway.data.prepare import PrepareConfig, prepare
from slipway.data.raw import Item, RawData

COLOURS = {"red": (200, 60, 60), "green": (60, 200, 60), "blue": (60, 60, 200)}
GRAYS = {"dark": 60, "light": 190}
WORDS = {"good": ("fine", "great", "lovely"), "bad": ("poor", "awful", "dull")}


def images(path, *, family="cv", count=60, px=32, seed=0) -> Dataset:
    """Noise around a colour per class (cv), or around a gray (defect)."""
    rng = np.random.default_rng(seed)
    classes = COLOURS if family == "cv" else GRAYS
    items = []
    for i in range(count):
        label = list(classes)[i % len(classes)]
        noise = rng.integers(-50, 50, (px, px, 3 if family == "cv" else 1))
        items.append(Item(np.clip(np.array(classes[label]) + noise, 0, 255).astype(np.uint8), label, f"{label}/{i}"))
    raw = RawData(name="tiny", kind="image", labels=tuple(sorted(classes)), items=items, image_px=px)
    return prepare(raw, path, PrepareConfig(family=family, train_fraction=0.6, validation_fraction=0.2))


def texts(path, *, count=80, seed=0) -> Dataset:
    """A few neutral words and one that tells the class."""
    rng = np.random.default_rng(seed)
    items = []
    for i in range(count):
        label = list(WORDS)[i % 2]
        neutral = rng.choice(["the", "film", "was", "a", "story", "of", "two", "men"], rng.integers(2, 9)).tolist()
        items.append(Item(" ".join([*neutral, str(rng.choice(WORDS[label])), str(i)]), label, f"row {i}"))
    raw = RawData(name="tiny", kind="text", labels=("bad", "good"), items=items)
    return prepare(raw, path, PrepareConfig(family="nlp", train_fraction=0.6, validation_fraction=0.2))


def of_family(family, path, **kwargs) -> Dataset:
    """A data set of the family."""
    return texts(path, **kwargs) if family == "nlp" else images(path, family=family, **kwargs)
