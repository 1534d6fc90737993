"""The numbers of an evaluation, from labels and probabilities alone: each headline with its 95 % interval."""

# N items, K classes, R resamples

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import metrics
from slipway.evaluation import intervals

HEADLINES: Mapping[str, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "F1, mean of the classes",
    "roc_auc": "area under the ROC curve, one class against the rest, mean",
    "average_precision": "average precision, one class against the rest, mean",
    "log_loss": "log loss (nats)",
    "brier": "Brier score (0 to 2)",
    "calibration_error": "expected calibration error, 15 bins",
}
"""Numbers that have `_low` and `_high` beside them, and what people call them."""
RANK_WORK = 20_000_000
"""Items x classes x resamples for intervals of rankings; a second or two."""
LEAST_RESAMPLES = 100
DRAWS = 400
"""Of labels from the confidences, for the test of calibration."""


def summarise(labels_N: NDArray[np.int64], probabilities_NK: NDArray[np.float32]) -> dict[str, Any]:
    """Every number as JSON values, with the intervals that have a closed form: of proportions and of their mean.

    Returns: n, the names of HEADLINES, recall and confusion (rows: true class), and per class n, named (how often it was
        the answer), precision, recall, f1, roc_auc and average_precision; None where a number is not defined.
    """
    predicted_N = probabilities_NK.argmax(axis=1)
    num_classes = probabilities_NK.shape[1]
    confusion_KK = metrics.confusion(labels_N, predicted_N, num_classes)
    right_K, there_K, named_K = np.diag(confusion_KK), confusion_KK.sum(axis=1), confusion_KK.sum(axis=0)
    f1_K = metrics.f1_per_class(confusion_KK)
    classes = []
    for k in range(num_classes):
        counts = metrics.threshold_counts(labels_N == k, probabilities_NK[:, k])
        classes.append(
            {
                "n": int(there_K[k]),
                "named": int(named_K[k]),
                **_proportion("precision", right_K[k], named_K[k]),
                **_proportion("recall", right_K[k], there_K[k]),
                "f1": _number(f1_K[k]),
                "roc_auc": _number(metrics.roc_auc(*counts)[0]),
                "average_precision": _number(metrics.average_precision(*counts)[0]),
            }
        )
    present = there_K > 0
    balanced = intervals.mean_of_proportions(right_K[present].tolist(), there_K[present].tolist())
    right_N, confidence_N = predicted_N == labels_N, probabilities_NK.max(axis=1)
    count_B, mean_B, share_B = metrics.reliability(right_N, confidence_N)
    return {
        "n": len(labels_N),
        **_proportion("accuracy", int(right_K.sum()), len(labels_N)),
        "balanced_accuracy": float(metrics.recall_per_class(confusion_KK)[present].mean()),
        "balanced_accuracy_low": balanced[0],
        "balanced_accuracy_high": balanced[1],
        "macro_f1": _mean(row["f1"] for row in classes),
        "roc_auc": _mean(row["roc_auc"] for row in classes),
        "average_precision": _mean(row["average_precision"] for row in classes),
        "log_loss": metrics.log_loss(labels_N, probabilities_NK),
        "brier": float(metrics.item_brier(labels_N, probabilities_NK).mean()),
        "calibration_error": float(metrics.calibration_error(right_N, confidence_N)[0]),
        "recall": [row["recall"] for row in classes],
        "confusion": confusion_KK.tolist(),
        "classes": classes,
        "reliability": {
            "count": count_B.tolist(),
            "confidence": [_number(v) for v in mean_B],
            "accuracy": [_number(v) for v in share_B],
        },
    }


def resampled(labels_N: NDArray[np.int64], probabilities_NK: NDArray[np.float32], found: Mapping[str, Any]) -> dict[str, Any]:
    """`_low` and `_high` of the headlines that have no closed form, by the bootstrap over items; None where all agree.

    Args:
        found: of `summarise`.
    """
    n, num_classes = probabilities_NK.shape
    predicted_N, confidence_N = probabilities_NK.argmax(axis=1), probabilities_NK.max(axis=1)
    right_N = predicted_N == labels_N
    losses_N2 = np.stack(
        [metrics.item_log_loss(labels_N, probabilities_NK), metrics.item_brier(labels_N, probabilities_NK)], axis=1
    )
    judged = [k for k in range(num_classes) if 0 < np.count_nonzero(labels_N == k) < n]

    def of_items(weights_RN: NDArray[np.float32]) -> NDArray[np.floating]:
        error_R = metrics.calibration_error(right_N, confidence_N, weights_RN)
        f1_R = _macro_f1(labels_N, predicted_N, num_classes, weights_RN)
        return np.vstack([(weights_RN @ losses_N2).T / n, error_R, f1_R])

    def of_ranks(weights_RN: NDArray[np.float32]) -> NDArray[np.floating]:
        counts = (metrics.threshold_counts(labels_N == k, probabilities_NK[:, k], weights_RN) for k in judged)
        areas_K2R = [(metrics.roc_auc(*pair), metrics.average_precision(*pair)) for pair in counts]
        return _defined_mean(np.array(areas_K2R))

    log_loss_R, brier_R, error_R, f1_R = intervals.bootstrap(of_items, n)
    bounds = {
        "log_loss": intervals.percentile(log_loss_R),
        "brier": intervals.percentile(brier_R),
        "calibration_error": _error_interval(error_R, found["calibration_error"], confidence_N),
        "macro_f1": intervals.percentile(f1_R),
        "roc_auc": (None, None),
        "average_precision": (None, None),
    }
    if judged:
        times = min(intervals.RESAMPLES, max(LEAST_RESAMPLES, RANK_WORK // (n * num_classes)))
        auc_R, precision_R = intervals.bootstrap(of_ranks, n, times)
        bounds |= {"roc_auc": intervals.percentile(auc_R), "average_precision": intervals.percentile(precision_R)}
    return {f"{name}_{end}": value for name, pair in bounds.items() for end, value in zip(("low", "high"), pair, strict=True)}


def _error_interval(error_R: NDArray[np.floating], found: float, confidence_N: NDArray[np.float32]) -> intervals.Interval:
    """The basic interval, down to 0 where labels drawn from the confidences themselves have such an error in 1 of 20 draws.

    That is the test of calibration by consistency resampling (Bröcker and Smith 2007, Weather and Forecasting 22:651). The
    basic interval alone reached 0 in 120 of 200 models that were calibrated.
    """
    low, high = intervals.basic(error_R, found)
    rng, count = np.random.default_rng(0), len(confidence_N)
    drawn = [metrics.calibration_error(rng.random((1, count)) < confidence_N, confidence_N)[0] for _ in range(DRAWS)]
    return (0.0 if low is not None and found <= np.quantile(drawn, 0.95) else low), high


def _macro_f1(
    labels_N: NDArray[np.int64], predicted_N: NDArray[np.int64], num_classes: int, weights_RN: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Mean F1 [R] of the classes that a resample has or names."""
    f1_KR = []
    for k in range(num_classes):
        there_N, named_N = labels_N == k, predicted_N == k
        both_R = weights_RN[:, there_N].sum(axis=1) + weights_RN[:, named_N].sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            f1_KR.append(np.where(both_R > 0, 2 * weights_RN[:, there_N & named_N].sum(axis=1) / both_R, np.nan))
    return _defined_mean(np.array(f1_KR))


def _defined_mean(values_K: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the first axis, NaN left out; NaN where all are."""
    defined_K = ~np.isnan(values_K)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined_K, values_K, 0).sum(axis=0) / defined_K.sum(axis=0))


def _proportion(name: str, successes: int, n: int) -> dict[str, float | None]:
    """A share of n with its Wilson interval; None without items."""
    if not n:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    low, high = metrics.wilson_interval(int(successes), int(n))
    return {name: int(successes) / int(n), f"{name}_low": low, f"{name}_high": high}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _mean(values: Iterable[float | None]) -> float | None:
    """Of the classes where the number is defined."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
