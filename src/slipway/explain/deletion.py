"""Whether explanations point at what matters: taking away what they mark must cost the answer more than random parts do."""

# N items, R random draws, T tokens

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slipway.bundle import Bundle
from slipway.explain.explanation import Explanation
from slipway.explain.image import covered
from slipway.explain.text import without
from slipway.preprocess import Raw
from slipway.preprocess.text import as_text


@dataclass(frozen=True, slots=True)
class Deletion:
    """Fall of the explained class's probability, an item each."""

    marked_N: NDArray[np.float64]
    """Without what the explanation marks most."""
    random_N: NDArray[np.float64]
    """Without random parts of the same size and number; mean of the draws."""


def deletion(
    bundle: Bundle,
    items: Sequence[Raw],
    explanations: Sequence[Explanation],
    *,
    share: float = 0.2,
    draws: int = 8,
    seed: int = 0,
) -> Deletion:
    """Take away the `share` of cells or tokens that are marked most, and as many at random.

    For images the random part has the shape of the marked one, moved (around the edges): scattered cells hurt a network
    more than one patch, whatever is below.

    Args:
        explanations: of `explain`, in the order of the items; texts without words fall by 0.
        share: of the parts, above 0; at least one part is taken.
        draws: of the random parts.
    """
    rng = np.random.default_rng(seed)
    falls = [
        (_image if e.heatmap_HW is not None else _text)(bundle, raw, e, share, draws, rng)
        for raw, e in zip(items, explanations, strict=True)
    ]
    falls_N2 = np.array(falls, np.float64).reshape(-1, 2)
    return Deletion(falls_N2[:, 0], falls_N2[:, 1])


def _image(
    bundle: Bundle, raw: Raw, explanation: Explanation, share: float, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    assert explanation.heatmap_HW is not None
    heat_HW = explanation.heatmap_HW
    marked_HW = np.zeros(heat_HW.shape, bool)
    marked_HW.flat[_top(heat_HW.ravel(), share)] = True
    offsets = rng.integers(0, heat_HW.shape, (draws, 2))
    moved = [np.roll(marked_HW, tuple(offset), axis=(0, 1)) for offset in offsets]
    image_HWC = bundle.preprocess.encode([raw])["image"][0]
    return _falls(explanation, covered(bundle, image_HWC, np.stack([marked_HW, *moved])))


def _text(
    bundle: Bundle, raw: Raw, explanation: Explanation, share: float, draws: int, rng: np.random.Generator
) -> tuple[float, float]:
    assert explanation.attributions_T is not None
    tokens, text = explanation.tokens, as_text(raw)
    if not tokens:
        return 0.0, 0.0
    marked_T = _top(explanation.attributions_T, share)
    chosen = [marked_T, *(rng.choice(len(tokens), len(marked_T), replace=False) for _ in range(draws))]
    return _falls(explanation, bundle.predict([without(text, [tokens[i] for i in some]) for some in chosen]))


def _top(values: NDArray[np.float32], share: float) -> NDArray[np.intp]:
    return np.argsort(-values, kind="stable")[: max(1, round(share * len(values)))]


def _falls(explanation: Explanation, answers: NDArray[np.float32]) -> tuple[float, float]:
    """Of the first answer, and the mean of the others."""
    fall = explanation.probability - answers[:, explanation.index]
    return float(fall[0]), float(fall[1:].mean())
