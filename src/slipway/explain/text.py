"""Leave one out: send the text without a word, and see what the answer loses."""

# T tokens

import re
from typing import Any

import numpy as np

from slipway.bundle import Bundle
from slipway.explain.explanation import Token, log_odds
from slipway.preprocess import Raw
from slipway.preprocess.text import as_text

WORD = re.compile(r"\w+(?:['’]\w+)*")
MAX_TOKENS = 256
"""Parts of a text; in a longer one a part is several words in a row."""
MAX_READ_CHARS = 4_000_000
"""Sent for one explanation, all copies together: very long texts get fewer parts (4 of a million characters)."""


def leave_one_out(bundle: Bundle, raw: Raw, index: int, base: float) -> dict[str, Any]:
    """Fields of an `Explanation`: the fall of log-odds by token.

    Args:
        base: log-odds of class `index` for the whole text.
    """
    text = as_text(raw)
    tokens = split(text)
    left = bundle.predict([without(text, [token]) for token in tokens])
    fall_T = (base - log_odds(left, index)).astype(np.float32)
    return {
        "method": "leave_one_out",
        "largest": float(fall_T.max(initial=0)),
        "tokens": tokens,
        "attributions_T": fall_T,
    }


def split(text: str) -> tuple[Token, ...]:
    """Its words, in order; of long texts so many words to a token that MAX_TOKENS and MAX_READ_CHARS hold."""
    words = [match.span() for match in WORD.finditer(text)]
    most = min(MAX_TOKENS, MAX_READ_CHARS // max(1, len(text)))
    size = max(1, -(-len(words) // max(1, most)))
    groups = [words[i : i + size] for i in range(0, len(words), size)]
    return tuple(Token(text[g[0][0] : g[-1][1]], g[0][0], g[-1][1]) for g in groups)


def without(text: str, tokens: list[Token]) -> str:
    """The text with these tokens, given in any order, cut out."""
    for token in sorted(tokens, key=lambda t: -t.start):
        text = text[: token.start] + text[token.end :]
    return text
