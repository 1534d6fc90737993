"""Whether validation and test are like train: class shares, brightness and contrast, length."""

# N items, K classes

import numpy as np
from numpy.typing import NDArray

from slipway.data.checks.config import CheckConfig
from slipway.data.checks.found import Found
from slipway.data.checks.items import Items
from slipway.data.split import SPLITS

PIXELS = 4096
"""Of an image, at most about so many are looked at."""


def split_shift(items: Items, config: CheckConfig) -> Found | None:
    """Differences from train that are both proven (`shift_p`) and large enough to matter (`shift_effect`)."""
    measured = _measures(items)
    shifts = []
    for split in (1, 2):
        train, other = items.split_N == 0, items.split_N == split
        p, effect = class_shift(items.labels_N[train], items.labels_N[other], len(items.dataset.labels))
        if p <= config.shift_p and effect >= config.shift_effect:
            shifts.append(f"{SPLITS[split]} has other class shares (V {effect:.2f})")
        for name, values_N in measured.items():
            p, effect = value_shift(values_N[train], values_N[other])
            if p <= config.shift_p and effect >= config.shift_effect:
                medians = f"median {np.median(values_N[other]):.3g}, in train {np.median(values_N[train]):.3g}"
                shifts.append(f"{SPLITS[split]} has another {name} ({medians}, D {effect:.2f})")
    if not shifts:
        return None
    return Found(
        count=len(shifts),
        message="; ".join(shifts),
        advice="find out why the splits differ; scores hold for data like the test split's",
    )


def class_shift(train_N: NDArray[np.int64], other_N: NDArray[np.int64], classes: int) -> tuple[float, float]:
    """p-value of the chi-square test that two splits have the same class shares, and Cramér's V, 0 to 1."""
    from scipy.stats import chi2_contingency
    from scipy.stats.contingency import association

    table = np.stack([np.bincount(labels, minlength=classes) for labels in (train_N, other_N)])
    table = table[:, table.sum(0) > 0]
    if table.shape[1] < 2:
        return 1.0, 0.0
    return float(chi2_contingency(table, correction=False).pvalue), float(association(table, method="cramer"))


def value_shift(train_N: NDArray[np.float64], other_N: NDArray[np.float64]) -> tuple[float, float]:
    """p-value of the two-sample Kolmogorov-Smirnov test, and its D: the largest distance of the two distributions, 0 to 1."""
    from scipy.stats import ks_2samp

    result = ks_2samp(train_N, other_N, method="asymp")
    return float(result.pvalue), float(result.statistic)


def _measures(items: Items) -> dict[str, NDArray[np.float64]]:
    if items.texts:
        return {"length in words": np.array([len(text.split()) for text in items.texts], np.float64)}
    brightness, contrast = [], []
    for chunk in items.images(np.arange(len(items))):
        step = max(1, int(np.sqrt(chunk.shape[1] * chunk.shape[2] / PIXELS)))
        gray_NHW = chunk[:, ::step, ::step].mean(axis=3, dtype=np.float32)
        brightness.append(gray_NHW.mean((1, 2)))
        contrast.append(gray_NHW.std((1, 2)))
    return {
        "brightness": np.concatenate(brightness).astype(np.float64),
        "contrast": np.concatenate(contrast).astype(np.float64),
    }
