"""Logistic regression on TF-IDF, in numpy: it needs no torch."""

# N items, L terms of an item, V vocabulary, K classes

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 256
"""Items at a time: K coefficients of each term are looked up at once."""


def tfidf_logreg(num_classes: int, *, num_terms: int) -> "TfidfLinear":
    """A linear model of `num_terms` terms with coefficients 0."""
    return TfidfLinear(
        np.ones(num_terms, np.float32), np.zeros((num_classes, num_terms), np.float32), np.zeros(num_classes, np.float32)
    )


class TfidfLinear:
    """Logits of counted terms: (1 + log count) x idf, scaled to length 1, times the coefficients, plus the intercept."""

    def __init__(
        self, idf_V: NDArray[np.float32], coefficients_KV: NDArray[np.float32], intercept_K: NDArray[np.float32]
    ) -> None:
        self.idf_V, self.coefficients_KV, self.intercept_K = idf_V, coefficients_KV, intercept_K

    def state_dict(self) -> dict[str, NDArray[np.float32]]:
        """The weights by name, as they are saved."""
        return {"idf": self.idf_V, "coefficients": self.coefficients_KV, "intercept": self.intercept_K}

    def load_state_dict(self, weights: Mapping[str, Any]) -> None:
        """Take over saved weights. Raises: KeyError, ValueError: one is missing or has another shape."""
        for name, mine in self.state_dict().items():
            mine[...] = weights[name].reshape(mine.shape)

    def weigh(self, ids_NL: NDArray[np.int64], counts_NL: NDArray[np.float32]) -> NDArray[np.float64]:
        """The weight [N, L] of each term in its item; 0 where the count is 0. An item without terms is all 0."""
        counts_NL = counts_NL.astype(np.float64)
        weights_NL = np.where(counts_NL > 0, 1 + np.log(np.maximum(counts_NL, 1)), 0) * self.idf_V[ids_NL]
        norm_N1 = np.sqrt((weights_NL**2).sum(axis=1, keepdims=True))
        return np.asarray(weights_NL / np.maximum(norm_N1, 1e-12))

    def __call__(self, ids: NDArray[np.int64], counts: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits [N, K] of ids and counts [N, L], as `preprocess.text.TfidfPreprocess.encode` gives them."""
        parts = []
        for start in range(0, len(ids), CHUNK):
            chunk = slice(start, start + CHUNK)
            terms_NLK = self.coefficients_KV.T.astype(np.float64)[ids[chunk]]
            parts.append(np.einsum("nl,nlk->nk", self.weigh(ids[chunk], counts[chunk]), terms_NLK) + self.intercept_K)
        return np.concatenate(parts) if parts else np.empty((0, len(self.intercept_K)))
