"""Labels that a cheap model contradicts, out of fold."""

# N items, K classes

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.data.checks.confident import confident_classes
from slipway.data.checks.config import CheckConfig
from slipway.data.checks.features import image_features
from slipway.data.checks.found import Found, NotMade, Outcome
from slipway.data.checks.items import Items

FOLDS = 5
CLASS_ITEMS = 10
"""Of every class at least, for folds that say anything."""
READ_CHARS = 4000
"""Of a text; it says what it says in its first pages."""


def suspicious_labels(items: Items, config: CheckConfig) -> Outcome:
    """Items whose label a linear model of gradients and textures, or of words, confidently contradicts; the surest first."""
    sample = items.sample(config.suspicious_items)
    labels_N, names = items.labels_N[sample], items.dataset.labels
    counts_K = np.bincount(labels_N, minlength=len(names))
    if counts_K.min() < CLASS_ITEMS:
        rare = names[int(counts_K.argmin())]
        return NotMade(f"class '{rare}' has {counts_K.min()} of the {len(sample)} items looked at; {CLASS_ITEMS} are needed")
    probabilities_NK, judged_N = _out_of_fold(items, sample, config.suspicious_agreement)
    agreement = float((probabilities_NK.argmax(1) == labels_N)[judged_N].mean())
    if agreement < config.suspicious_agreement:
        return NotMade(
            f"a simple model agrees with {100 * agreement:.1f} % of the labels, below {100 * config.suspicious_agreement:g} % "
            f"(suspicious_agreement): it cannot judge them"
        )
    confident_N = confident_classes(labels_N, probabilities_NK)
    rows = np.arange(len(sample))
    margin_N = probabilities_NK[rows, confident_N] - probabilities_NK[rows, labels_N]
    suspicious = np.flatnonzero((confident_N >= 0) & (confident_N != labels_N) & (margin_N >= config.suspicious_margin))
    if not len(suspicious):
        return None
    suspicious = suspicious[np.argsort(-margin_N[suspicious], kind="stable")]
    of = f"{len(sample)} of {len(items)} items, those looked at" if len(sample) < len(items) else f"{len(items)} items"
    return Found(
        count=len(suspicious),
        message=f"{len(suspicious)} labels look wrong to a simple model that agrees with {100 * agreement:.1f} % of {of}",
        advice="look at them and correct those that are wrong; hard items are among them",
        groups=[[int(sample[i])] for i in suspicious],
        notes=[f"{names[confident_N[i]]}? {probabilities_NK[i, confident_N[i]]:.2f}" for i in suspicious],
    )


def _out_of_fold(
    items: Items, sample: NDArray[np.int64], least_agreement: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities float64 [N, K] by models that were not fitted on the item, and which items have some.

    Ends after the first fold where the model agrees with too few labels to be of use.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    labels_N = items.labels_N[sample]
    described = _described(items, sample)
    probabilities_NK = np.zeros((len(sample), len(items.dataset.labels)))
    judged_N = np.zeros(len(sample), bool)
    for fitted, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(described, labels_N):
        model = LogisticRegression(C=10, max_iter=60)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # good enough is good enough here
            model.fit(described[fitted], labels_N[fitted])
        probabilities_NK[held_out] = model.predict_proba(described[held_out])
        judged_N[held_out] = True
        if (probabilities_NK[held_out].argmax(1) == labels_N[held_out]).mean() < least_agreement:
            break
    return probabilities_NK, judged_N


def _described(items: Items, sample: NDArray[np.int64]) -> Any:
    """Features [N, F] of the items; of texts weighted words and word pairs, sparse. Labels have no part in them."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not items.texts:
        return np.concatenate([image_features(chunk) for chunk in items.images(sample)])
    words = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True, max_features=50_000)
    return words.fit_transform([items.texts[i][:READ_CHARS] for i in sample])
