"""Accuracy and friends on numpy arrays. Imports numpy only."""

# N items, K classes, R resamples, T thresholds, B bins

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


def f1_per_class(confusion_KK: NDArray[np.int64]) -> NDArray[np.float64]:
    """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); NaN for a class neither there nor named."""
    both = confusion_KK.sum(axis=0) + confusion_KK.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(both > 0, 2 * np.diag(confusion_KK) / both, np.nan))


def log_loss(labels_N: NDArray[np.integer], probabilities_NK: NDArray[np.floating]) -> float:
    """Mean negative log-likelihood in nats; probabilities are clipped at 1e-12."""
    return float(item_log_loss(labels_N, probabilities_NK).mean())


def item_log_loss(labels_N: NDArray[np.integer], probabilities_NK: NDArray[np.floating]) -> NDArray[np.float64]:
    """Negative log-likelihood of each item in nats; probabilities are clipped at 1e-12."""
    picked_N = probabilities_NK[np.arange(len(labels_N)), labels_N]
    return np.asarray(-np.log(np.clip(picked_N.astype(np.float64), 1e-12, 1.0)))


def item_brier(labels_N: NDArray[np.integer], probabilities_NK: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared distance of each item's probabilities from its label, summed over classes, in [0, 2] (Brier 1950)."""
    distance_NK = probabilities_NK.astype(np.float64)
    distance_NK[np.arange(len(labels_N)), labels_N] -= 1
    return np.asarray((distance_NK**2).sum(axis=1))


def threshold_counts(
    positive_N: NDArray[np.bool_], score_N: NDArray[np.floating], weights_RN: NDArray[np.floating] | None = None
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """True and false positives [R, T] when everything scored at or above a threshold is called positive.

    T is the number of different scores, descending: items of equal score are called together.

    Args:
        weights_RN: how often each item counts; None counts each once (R = 1).
    """
    order_N = np.argsort(-score_N, kind="stable")
    sorted_N = score_N[order_N]
    last_T = np.flatnonzero(np.r_[sorted_N[1:] != sorted_N[:-1], True])
    weights_RN = np.ones((1, len(score_N)), np.float32) if weights_RN is None else weights_RN[:, order_N]
    # sums of whole numbers: float32 holds them exactly up to 16 million items, in half the time of float64
    all_RN = np.cumsum(weights_RN, axis=1)
    true_RN = np.cumsum(weights_RN * positive_N[order_N].astype(weights_RN.dtype), axis=1)
    if len(last_T) < len(score_N):
        true_RN, all_RN = true_RN[:, last_T], all_RN[:, last_T]
    return true_RN, all_RN - true_RN


def roc_auc(true_RT: NDArray[np.floating], false_RT: NDArray[np.floating]) -> NDArray[np.float64]:
    """Area under the ROC curve [R] from `threshold_counts`, by trapezoids; NaN without positives or negatives."""
    gained_RT, alarms_RT = _steps(true_RT), _steps(false_RT)
    area_R = np.einsum("rt,rt->r", alarms_RT, true_RT - gained_RT / 2, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(area_R / (true_RT[:, -1].astype(np.float64) * false_RT[:, -1]))


def average_precision(true_RT: NDArray[np.floating], false_RT: NDArray[np.floating]) -> NDArray[np.float64]:
    """Precision at each threshold, weighed by the recall gained there [R], from `threshold_counts`; NaN without positives."""
    precision_RT = true_RT / np.maximum(true_RT + false_RT, 1)  # nothing is gained where nothing was called yet
    area_R = np.einsum("rt,rt->r", _steps(true_RT), precision_RT, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(area_R / true_RT[:, -1])


def _steps(counts_RT: NDArray[np.floating]) -> NDArray[np.floating]:
    """What each threshold adds."""
    return np.diff(counts_RT, axis=1, prepend=np.zeros((len(counts_RT), 1), counts_RT.dtype))


def reliability(
    right_N: NDArray[np.bool_], confidence_N: NDArray[np.floating], bins: int = 15
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Count, mean confidence and accuracy [B] of equally wide bins of confidence; NaN in an empty bin.

    The expected calibration error is `calibration_error` of these (Naeini 2015; Guo 2017, arXiv:1706.04599).
    """
    bin_N = confidence_bins(confidence_N, bins)
    count_B = np.bincount(bin_N, minlength=bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        confidence_B = np.bincount(bin_N, confidence_N, bins) / count_B
        accuracy_B = np.bincount(bin_N, right_N, bins) / count_B
    return count_B, confidence_B, accuracy_B


def confidence_bins(confidence_N: NDArray[np.floating], bins: int = 15) -> NDArray[np.int64]:
    """Which of the equally wide bins (0, 1/B], (1/B, 2/B] … each confidence lies in, from 0."""
    return np.clip(np.ceil(confidence_N.astype(np.float64) * bins).astype(np.int64) - 1, 0, bins - 1)


def calibration_error(
    right_N: NDArray[np.bool_],
    confidence_N: NDArray[np.floating],
    weights_RN: NDArray[np.floating] | None = None,
    bins: int = 15,
) -> NDArray[np.float64]:
    """Expected calibration error [R]: |accuracy - confidence| of each bin, weighed by its share of the items.

    Args:
        right_N: whether each answer is right; [R, N] for several outcomes of the same confidences.
        weights_RN: as in `threshold_counts`.
    """
    gap_N: NDArray[np.float64] = right_N - confidence_N.astype(np.float64)
    weights_RN = np.ones((1, len(confidence_N))) if weights_RN is None else weights_RN
    bin_N = confidence_bins(confidence_N, bins)
    order_N = np.argsort(bin_N, kind="stable")
    first_B = np.flatnonzero(np.diff(bin_N[order_N], prepend=-1))
    gaps_RB = np.add.reduceat(weights_RN[:, order_N] * gap_N[..., order_N], first_B, axis=1)
    return np.asarray(np.abs(gaps_RB).sum(axis=1) / weights_RN.sum(axis=1))


def wilson_interval(successes: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927, JASA 22:209); z = 1.96 gives 95 %.

    Returns: lower and upper bound in [0, 1]; (0, 1) when n is 0.
    """
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))  # around 0 and 1, rounding leaves p outside
