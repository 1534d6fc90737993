"""Fitting TF-IDF: vocabulary, document frequencies and scikit-learn's logistic regression. Needs no torch."""

# N items, R weighted rows (an item and a class it may be of), V vocabulary, K classes

import sys
import time
import warnings
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import metrics
from slipway.errors import DataError
from slipway.models.linear import TfidfLinear
from slipway.preprocess.text import TfidfPreprocess
from slipway.training.history import EpochRecord
from slipway.training.recipe import TrainConfig
from slipway.training.teacher import soften

MAX_ITERATIONS = 1000
GRADIENT = 1e-6
"""Largest part of the loss's gradient at which the fit ends. At scikit-learn's 1e-4, and in float32, the log loss on
SST-2 was 0.4252 by BLAS's kernels for one kind of processor and 0.4242 by another's; here it is 0.42040 by both, in as many
seconds."""
LEAST_WEIGHT = 1e-4
"""A class that a teacher gives less than this of an item is left out: most are, and each is a row to fit."""


def fit_vocabulary(texts: list[str], config: TrainConfig) -> tuple[TfidfPreprocess, NDArray[np.float32]]:
    """The terms that occur in most texts, and each one's idf: 1 + ln((1 + N) / (1 + texts with it)).

    Raises: DataError: no text has a word.
    """
    found: Counter[str] = Counter()
    for text in texts:
        found.update(set(TfidfPreprocess.terms(text, config.ngrams)))
    if not found:
        raise DataError("training texts: none of them has a word; give texts")
    kept = sorted(found, key=lambda term: (-found[term], term))[: config.max_features]
    vocabulary = sorted(kept)
    counts_V = np.array([found[term] for term in vocabulary])
    idf_V = 1 + np.log((1 + len(texts)) / (1 + counts_V))
    return TfidfPreprocess(vocabulary, config.ngrams), idf_V.astype(np.float32)


def fit_tfidf(
    train: tuple[list[str], NDArray[np.int64]],
    validation: tuple[list[str], NDArray[np.int64]],
    labels: tuple[str, ...],
    config: TrainConfig,
    *,
    soft_NK: NDArray[np.float32] | None = None,
) -> tuple[TfidfLinear, TfidfPreprocess, EpochRecord]:
    """Fit on texts and label indices; the record is that of the one and only pass.

    Args:
        soft_NK: a teacher's probabilities of the training texts (see `teacher.soft_targets`); None without one. The targets
            are then `teacher_weight` parts of them, softened by `teacher_temperature`, and the rest labels. Unlike a
            network, the model is fitted to the softened probabilities at temperature 1, so a temperature above 1 leaves it
            with too little confidence; export's calibration sets that right.
    Raises: DataError: a class has no training text.
    """
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    started = time.perf_counter()
    texts, labels_N = train
    if missing := sorted(set(range(len(labels))) - set(labels_N.tolist())):
        raise DataError(f"class '{labels[missing[0]]}': has no training text; add some or remove the class")
    preprocess, idf_V = fit_vocabulary(texts, config)
    model = TfidfLinear(idf_V, np.zeros((len(labels), len(idf_V)), np.float32), np.zeros(len(labels), np.float32))
    rows, columns, values = [], [], []
    for i, text in enumerate(texts):
        feeds = preprocess.encode([text])
        used = feeds["counts"][0] > 0
        rows.append(np.full(used.sum(), i))
        columns.append(feeds["ids"][0, used])
        values.append(model.weigh(feeds["ids"], feeds["counts"])[0, used])
    matrix = csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=(len(texts), len(idf_V)),
        dtype=np.float64,  # in float32 the solver stops short of the minimum, elsewhere on each kind of processor
    )
    regression = LogisticRegression(C=config.regularisation, max_iter=MAX_ITERATIONS, tol=GRADIENT)
    if soft_NK is None:
        _fit(regression, matrix, labels_N)
    else:
        items_R, classes_R, weights_R = _weighted(labels_N, soft_NK, config)
        _fit(regression, matrix[items_R], classes_R, sample_weight=weights_R)
    coefficients_KV, intercept_K = regression.coef_, regression.intercept_
    if len(labels) == 2:  # one row, of the second class: shared out, so that both classes have one
        coefficients_KV = np.concatenate([-coefficients_KV, coefficients_KV]) / 2
        intercept_K = np.concatenate([-intercept_K, intercept_K]) / 2
    model.coefficients_KV = np.ascontiguousarray(coefficients_KV, np.float32)
    model.intercept_K = np.ascontiguousarray(intercept_K, np.float32)
    seconds = time.perf_counter() - started
    train_loss, train_accuracy = _score(model, preprocess, texts, labels_N)
    val_loss, val_accuracy = _score(model, preprocess, *validation)
    record = EpochRecord(
        epoch=1,
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        val_loss=val_loss,
        val_accuracy=val_accuracy,
        learning_rate=0.0,
        seconds=time.perf_counter() - started,
        items_per_s=len(texts) / seconds,
    )
    sys.stderr.write(
        f"tfidf_logreg: {len(idf_V)} terms  loss {train_loss:.4f}  val loss {val_loss:.4f}  val accuracy {val_accuracy:.4f}  "
        f"{record.items_per_s:.0f} items/s\n"
    )
    return model, preprocess, record


def _weighted(
    labels_N: NDArray[np.int64], soft_NK: NDArray[np.float32], config: TrainConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Soft targets as rows [R] that scikit-learn takes: item, class, and the item's share of that class."""
    label_NK = labels_N[:, None] == np.arange(soft_NK.shape[1])
    share = config.teacher_weight
    weight_NK = (1 - share) * label_NK + share * soften(soft_NK, config.teacher_temperature)
    items_R, classes_R = np.nonzero((weight_NK >= LEAST_WEIGHT) | label_NK)  # labels stay: no class may vanish
    return items_R, classes_R, weight_NK[items_R, classes_R]


def _fit(regression: Any, matrix: Any, classes_N: NDArray[np.int64], **settings: Any) -> None:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            regression.fit(matrix, classes_N, **settings)
        except ConvergenceWarning:
            sys.stderr.write(f"tfidf_logreg: not converged after {MAX_ITERATIONS} iterations; lower regularisation\n")
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.fit(matrix, classes_N, **settings)


def _score(
    model: TfidfLinear, preprocess: TfidfPreprocess, texts: list[str], labels_N: NDArray[np.int64]
) -> tuple[float, float]:
    """Log loss and accuracy."""
    parts = [model(**preprocess.encode(texts[i : i + 256])) for i in range(0, len(texts), 256)]
    logits_NK = np.concatenate(parts)
    scaled_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    probabilities_NK = scaled_NK / scaled_NK.sum(axis=1, keepdims=True)
    return metrics.log_loss(labels_N, probabilities_NK), metrics.accuracy(labels_N, probabilities_NK.argmax(axis=1))
