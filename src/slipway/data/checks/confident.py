"""Confident learning: which labels are probably wrong (Northcutt, Jiang and Chuang 2021, section 3.1).

cleanlab is the authors' library; this is the part of it that is used here, and a test compares the two.
"""

# N items, K classes

import numpy as np
from numpy.typing import NDArray


def confident_classes(labels_N: NDArray[np.int64], probabilities_NK: NDArray[np.float64]) -> NDArray[np.int64]:
    """The class that an item is confidently of, int64 [N]; -1 where it is confidently of none.

    A class is confident when its probability reaches the mean that items labelled so have; of several, the most probable.

    Args:
        probabilities_NK: out of fold: from models that were not fitted on the item.
    """
    classes = probabilities_NK.shape[1]
    own_N = probabilities_NK[np.arange(len(labels_N)), labels_N]
    totals_K, counts_K = np.bincount(labels_N, own_N, classes), np.bincount(labels_N, minlength=classes)
    threshold_K = np.where(counts_K > 0, totals_K / np.maximum(counts_K, 1), np.inf)
    reached_NK = np.where(probabilities_NK >= threshold_K - 1e-6, probabilities_NK, -1)
    return np.asarray(np.where(reached_NK.max(1) >= 0, reached_NK.argmax(1), -1), np.int64)
