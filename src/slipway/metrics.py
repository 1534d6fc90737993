"""Accuracy and friends on numpy arrays. Imports numpy only."""

# N items, K classes

from math import sqrt

import numpy as np
from numpy.typing import NDArray


def accuracy(labels_N: NDArray[np.integer], predicted_N: NDArray[np.integer]) -> float:
    """Share of equal entries, in [0, 1]; both arrays hold class indices and have the same length > 0."""
    return float(np.mean(labels_N == predicted_N))


def confusion(labels_N: NDArray[np.integer], predicted_N: NDArray[np.integer], num_classes: int) -> NDArray[np.int64]:
    """Counts [K, K]: row = true class, column = predicted class."""
    flat = np.asarray(labels_N, np.int64) * num_classes + np.asarray(predicted_N, np.int64)
    return np.bincount(flat, minlength=num_classes * num_classes).reshape(num_classes, num_classes)


def recall_per_class(confusion_KK: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each true class that was found, in [0, 1]; NaN for a class without items."""
    totals = confusion_KK.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(totals > 0, np.diag(confusion_KK) / totals, np.nan)


def log_loss(labels_N: NDArray[np.integer], probabilities_NK: NDArray[np.floating]) -> float:
    """Mean negative log-likelihood in nats; probabilities are clipped at 1e-12."""
    picked = probabilities_NK[np.arange(len(labels_N)), labels_N]
    return float(-np.mean(np.log(np.clip(picked.astype(np.float64), 1e-12, 1.0))))


def wilson_interval(successes: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927, JASA 22:209); z = 1.96 gives 95 %.

    Returns: lower and upper bound in [0, 1]; (0, 1) when n is 0.
    """
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)
