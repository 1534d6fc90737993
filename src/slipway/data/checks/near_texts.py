"""Pairs of texts that share most of their word pairs, found by MinHash signatures and confirmed by counting.

Case and punctuation do not count. datasketch has the same algorithm, one Python object a text; here all are rows of one array.
"""

# N items, P pairs, K hash functions

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.data.checks.pairs import Pairs, unique

BANDS, ROWS = 16, 4
"""Texts with Jaccard 0.7 meet in one of 16 bands of 4 hashes with probability 0.988, with 0.8 in 0.9998, with 0.3 in 0.12."""
BLOCK = 4096
_WORD = re.compile(r"\w")


def near_texts(texts: Sequence[str], *, least: float) -> Pairs:
    """Pairs with a Jaccard similarity of at least `least` of their sets of neighbouring words.

    Texts without a letter or digit are in no pair. Of many copies of one text each is paired with the first and the next.
    """
    shingles = _shingles(texts)
    held = np.flatnonzero(np.diff(shingles.indptr))
    if not len(held):
        nothing = np.empty(0, np.int64)
        return Pairs(nothing, nothing, np.empty(0, np.float32))
    signature_NK = _signatures(shingles)
    a_P, b_P = _meetings(signature_NK)
    pairs = unique(Pairs(held[a_P], held[b_P], np.zeros(len(a_P), np.float32)))
    score_P = np.concatenate(
        [np.empty(0, np.float32)]
        + [_jaccard(shingles, pairs.a_P[i : i + BLOCK], pairs.b_P[i : i + BLOCK]) for i in range(0, len(pairs.a_P), BLOCK)]
    )
    kept = score_P >= least
    return unique(Pairs(pairs.a_P[kept], pairs.b_P[kept], score_P[kept]))


def _shingles(texts: Sequence[str]) -> Any:
    """Hashes of the word pairs of each text, its beginning and end being words too, as the columns of a sparse matrix."""
    from sklearn.feature_extraction.text import HashingVectorizer

    def framed(text: str) -> str:
        return f"_ {text.lower()} _" if _WORD.search(text) else ""

    hashing = HashingVectorizer(
        preprocessor=framed, token_pattern=r"\w+", ngram_range=(2, 2), n_features=2**30, binary=True, norm=None,
        alternate_sign=False,
    )  # fmt: skip
    return hashing.transform(texts)


def _signatures(shingles: Any) -> NDArray[np.uint64]:
    """MinHash of each text that has shingles: uint64 [N, K]."""
    rng = np.random.default_rng(0)
    values = shingles.indices.astype(np.uint64)
    starts = shingles.indptr[:-1][np.diff(shingles.indptr) > 0]
    columns = []
    for factor, term in rng.integers(0, 2**63, (BANDS * ROWS, 2), np.uint64):
        hashed = (values * (factor | np.uint64(1)) + term) >> np.uint64(20)  # multiply and shift; wraps on purpose
        columns.append(np.minimum.reduceat(hashed, starts))
    return np.stack(columns, 1)


def _meetings(signature_NK: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Texts whose signatures agree in a whole band: each with the first of its kind, and with the one before it."""
    a, b = [], []
    for band in range(BANDS):
        part = signature_NK[:, band * ROWS : (band + 1) * ROWS]
        _, group = np.unique(part, axis=0, return_inverse=True)
        order = np.argsort(group, kind="stable")
        group = group[order]
        first = order[np.searchsorted(group, group)]
        again = np.flatnonzero(group[1:] == group[:-1]) + 1
        a += [first[again], order[again - 1]]
        b += [order[again], order[again]]
    return np.concatenate(a), np.concatenate(b)


def _jaccard(shingles: Any, a_P: NDArray[np.int64], b_P: NDArray[np.int64]) -> NDArray[np.float32]:
    sizes = np.diff(shingles.indptr)
    common_P = np.asarray(shingles[a_P].multiply(shingles[b_P]).sum(axis=1)).ravel()
    return np.asarray(common_P / (sizes[a_P] + sizes[b_P] - common_P), np.float32)
