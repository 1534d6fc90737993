"""Texts without words, and texts that are cut."""

import re

import numpy as np

from slipway.data.checks.config import CheckConfig
from slipway.data.checks.found import Found
from slipway.data.checks.items import Items

_TOKEN = re.compile(r"\w+|[^\w\s]")
_LETTER = re.compile(r"[^\W_]")


def empty_texts(items: Items) -> Found | None:
    """Texts without a letter or digit. Those that are blank altogether are refused by `prepare`."""
    empty = [i for i, text in enumerate(items.texts) if not _LETTER.search(text)]
    if not empty:
        return None
    return Found(
        count=len(empty),
        message=f"{len(empty)} of {len(items)} texts have no letter or digit",
        advice="remove them: there is nothing to read",
        groups=[[i] for i in empty],
        notes=[f"{len(items.texts[i])} characters" for i in empty],
    )


def long_texts(items: Items, config: CheckConfig) -> Found | None:
    """Texts with more than `max_tokens` words and punctuation marks, when they are more than a share; the longest first."""
    tokens_N = np.array([sum(1 for _ in _TOKEN.finditer(text)) for text in items.texts])
    long = np.flatnonzero(tokens_N > config.max_tokens)
    if len(long) <= config.long_share * len(items):
        return None
    long = long[np.argsort(-tokens_N[long], kind="stable")]
    return Found(
        count=len(long),
        message=f"{len(long)} of {len(items)} texts ({100 * len(long) / len(items):.1f} %) have more than {config.max_tokens} "
        f"words and marks; an encoder with max_tokens={config.max_tokens} does not read their ends, TF-IDF does",
        advice="raise max_tokens for an encoder, up to what it can take, or split the texts",
        groups=[[int(i)] for i in long],
        notes=[f"{tokens_N[i]} words and marks" for i in long],
    )
