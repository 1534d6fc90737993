"""The temperature: one number that makes confidences honest, fitted on the validation split."""

# N items, K classes

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slipway import metrics

BOUNDS = (0.05, 20.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What was found, and what is in the graph."""

    temperature: float
    """Logits are divided by it; 1 when the fitted one did not help."""
    log_loss_before: float
    """On validation, in nats, at temperature 1."""
    log_loss_after: float
    """On validation, in nats, at the fitted temperature."""
    kept: bool
    """Whether the fitted temperature is used: it lowers the log loss on validation."""


def fit_temperature(logits_NK: NDArray[np.floating], labels_N: NDArray[np.integer]) -> Calibration:
    """The temperature in BOUNDS with the least log loss, searched on its logarithm."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return metrics.log_loss(labels_N, softmax(logits_NK / np.exp(log_temperature)))

    before = loss(0.0)
    found = minimize_scalar(loss, bounds=tuple(np.log(BOUNDS)), method="bounded", options={"xatol": 1e-4})
    after = float(found.fun)
    kept = after < before
    temperature = float(np.float32(np.exp(found.x))) if kept else 1.0
    return Calibration(temperature=temperature, log_loss_before=before, log_loss_after=after, kept=kept)


def softmax(logits_NK: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities [N, K]."""
    scaled_NK = np.exp(logits_NK.astype(np.float64) - logits_NK.max(axis=1, keepdims=True))
    return np.asarray(scaled_NK / scaled_NK.sum(axis=1, keepdims=True))
