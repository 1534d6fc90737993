"""`reviews`: generated short reviews of things bought, negative or positive."""

import numpy as np

from slipway.data.noise import balanced, flip_labels
from slipway.data.raw import BlockItems, Item, RawData, Request

LABELS = ("negative", "positive")
BLOCK = 100
"""Reviews made at once; a multiple of the noise's group."""

THINGS = (
    "phone", "kettle", "lamp", "backpack", "headset", "blender", "jacket", "printer", "tent", "keyboard", "watch", "bike light",
    "toaster", "camera", "chair", "router", "umbrella", "drill", "pan", "speaker",
)  # fmt: skip
ASPECTS = (
    "battery", "packaging", "manual", "finish", "handle", "delivery", "support", "price", "design", "cable", "sound", "weight",
    "colour", "cover", "button", "display", "material", "size", "grip", "box",
)  # fmt: skip
PRAISE = (
    "excellent", "great", "very good", "a joy to use", "better than expected", "solid", "flawless", "worth every penny",
    "reliable", "lovely", "impressive", "exactly right", "not bad at all", "never a problem", "superb", "well made",
)  # fmt: skip
BLAME = (
    "terrible", "poor", "not good", "a pain to use", "worse than expected", "flimsy", "faulty", "a waste of money",
    "unreliable", "ugly", "disappointing", "completely wrong", "bad", "always a problem", "awful", "badly made",
)  # fmt: skip
OPENINGS = (
    "",
    "",
    "Bought this {thing} last month. ",
    "My second {thing}. ",
    "A gift for my father. ",
    "Used the {thing} daily. ",
)
CLOSINGS = (
    "",
    "",
    " That is all.",
    " I wrote this after {days} days.",
    " Five others in my team have it, too.",
    " Ordered online.",
)
MIXED_SHARE = 0.3
"""Of the reviews, one of three clauses says the opposite."""


def read(request: Request) -> RawData:
    """`request.size` reviews of three judgements each; the majority is the label, and one label in 20 is wrong."""
    items = BlockItems(request.size, BLOCK, lambda block: _block(block, request.seed))
    return RawData(name="reviews", kind="text", labels=LABELS, items=items)


def _block(block: int, seed: int) -> list[Item]:
    rng = np.random.default_rng([seed, block])
    truth = balanced(BLOCK, 2, rng)
    labels = flip_labels(truth, 2, rng)
    start = block * BLOCK
    return [
        Item(_review(bool(truth[i]), rng), LABELS[labels[i]], f"{start + i:05d} written as {LABELS[truth[i]]}")
        for i in range(BLOCK)
    ]


def _review(positive: bool, rng: np.random.Generator) -> str:
    opinions = [positive] * 3
    if rng.random() < MIXED_SHARE:
        opinions[rng.integers(3)] = not positive
    aspects = [ASPECTS[i] for i in rng.choice(len(ASPECTS), 3, replace=False)]
    first, second, third = (
        f"the {aspect} is {(PRAISE if good else BLAME)[rng.integers(16)]}"
        for aspect, good in zip(aspects, opinions, strict=True)
    )
    joint = " and " if opinions[0] == opinions[1] else ", but "
    text = (
        OPENINGS[rng.integers(6)]
        + first[0].upper()
        + first[1:]
        + joint
        + second
        + ". T"
        + third[1:]
        + "."
        + CLOSINGS[rng.integers(6)]
    )
    return text.format(thing=THINGS[rng.integers(20)], days=rng.integers(2, 60))
