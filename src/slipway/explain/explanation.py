"""What an explanation is, and how one is asked for."""

# K classes, T tokens of a text, H/W cells of a grid over an image

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.bundle import Bundle
from slipway.errors import ConfigError, unknown
from slipway.preprocess import Raw

LEAST = 1e-12
"""Probabilities below are taken as this one, so that log-odds stay finite."""


AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a text, or of a long text several in a row: `text[start:end]`."""

    text: str
    start: int
    """Characters before it in the text as it was sent."""
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """How much each part of an item speaks for one class."""

    label: str
    """The class that is explained."""
    index: int
    """Its place in `probabilities_K`."""
    probabilities_K: NDArray[np.float32]
    method: str
    """`cam`, `occlusion` or `leave_one_out`."""
    largest: float
    """What 1 in `heatmap_HW` stands for, or the largest attribution; >= 0. By `cam` what a cell adds to the class's logit,
    by the others the fall of its log-odds when the part is taken away."""
    heatmap_HW: NDArray[np.float32] | None = None
    """Of an image: 0..1, on a grid over what the model sees; parts that speak against the class are 0. None for texts."""
    tokens: tuple[Token, ...] = ()
    """Of a text, in its order."""
    attributions_T: NDArray[np.float32] | None = None
    """A token each: fall of the log-odds; negative: speaks against the class. None for images."""

    @property
    def probability(self) -> float:
        """Of the explained class."""
        return float(self.probabilities_K[self.index])


def explain(bundle: Bundle, items: Sequence[Raw], *, target: str | None = None, method: str = AUTO) -> list[Explanation]:
    """Explain the answer to each item.

    Images by the class activation map that is in the graph, which costs two answers, or else by occlusion on a grid, which
    costs fifty; texts by leaving out each word.

    Args:
        target: the class to explain, by name; None takes each item's most probable one.
        method: `cam`, `occlusion`, `leave_one_out`, or `auto`: the first of `methods`.
    Raises:
        ConfigError: a target or a method that the bundle has not.
        DataError: an item cannot be read; the message starts with its position, `item 3: …`.
    """
    from slipway.explain import image, text

    if target is not None and target not in bundle.labels:
        raise ConfigError(unknown("target", target, bundle.labels))
    allowed = methods(bundle)
    if method not in (AUTO, *allowed):
        raise ConfigError(unknown(f"method of a {bundle.meta['architecture']}", method, (AUTO, *allowed)))
    ways: dict[str, Any] = {"cam": image.cam, "occlusion": image.occlusion, "leave_one_out": text.leave_one_out}
    parts = ways[allowed[0] if method == AUTO else method]
    found = []
    for raw, probabilities_K in zip(items, bundle.predict(items), strict=True):
        index = int(probabilities_K.argmax()) if target is None else bundle.labels.index(target)
        answer = {"label": bundle.labels[index], "index": index, "probabilities_K": probabilities_K}
        found.append(Explanation(**answer, **parts(bundle, raw, index, log_odds(probabilities_K[None], index)[0])))
    return found


def methods(bundle: Bundle) -> tuple[str, ...]:
    """How the bundle's answers can be explained, the quickest first; `occlusion` has the finer grid."""
    if bundle.preprocess.input_name != "image":
        return ("leave_one_out",)
    return ("cam", "occlusion") if bundle.has_heatmap else ("occlusion",)


def log_odds(probabilities_NK: NDArray[np.float32], index: int) -> NDArray[np.float64]:
    """Log-odds [N] of one class against all others.

    Not the probability: that of a sure answer hardly moves when one part is gone, so its map would be rounding noise; the
    log-odds of a linear model, in turn, fall by just what the part had added. The others are summed, since 1 - p of a
    float32 near 1 has no digits left.
    """
    p_NK = probabilities_NK.astype(np.float64)
    others_N = np.delete(p_NK, index, axis=1).sum(axis=1)
    odds_N: NDArray[np.float64] = np.maximum(p_NK[:, index], LEAST) / np.maximum(others_N, LEAST)
    return np.log(odds_N)
