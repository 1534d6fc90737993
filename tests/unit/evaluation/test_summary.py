"""Every number against scikit-learn, every interval against its coverage or an independent form."""

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as theirs

from slipway.evaluation import intervals
from slipway.evaluation.summary import HEADLINES, resampled, summarise


def answers(n: int, num_classes: int, seed: int, *, decimals: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities that know something of each other; few decimals make ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, n)
    logits = rng.normal(size=(n, num_classes)) + 1.5 * np.eye(num_classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    probabilities = np.round(probabilities, decimals) + 1e-9
    return labels, (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("n", "num_classes", "decimals"), [(300, 2, 7), (500, 5, 7), (400, 3, 1)])
def test_numbers_are_those_of_scikit_learn(n, num_classes, decimals):
    labels, probabilities = answers(n, num_classes, seed=n, decimals=decimals)
    found, predicted, exact = summarise(labels, probabilities), probabilities.argmax(axis=1), probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    onehot = np.eye(num_classes)[labels]
    precision, recall, f1, support = theirs.precision_recall_fscore_support(labels, predicted)
    expected = {
        "accuracy": theirs.accuracy_score(labels, predicted),
        "balanced_accuracy": theirs.balanced_accuracy_score(labels, predicted),
        "macro_f1": f1.mean(),
        "roc_auc": theirs.roc_auc_score(onehot, probabilities, average="macro"),
        "average_precision": theirs.average_precision_score(onehot, probabilities, average="macro"),
        "log_loss": theirs.log_loss(labels, exact),
        "brier": theirs.brier_score_loss(labels, exact, scale_by_half=False, labels=range(num_classes)),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    for name, values in {"precision": precision, "recall": recall, "f1": f1, "n": support}.items():
        assert [row[name] for row in found["classes"]] == pytest.approx(values)
    assert found["confusion"] == theirs.confusion_matrix(labels, predicted).tolist()


def test_calibration_error_of_a_hand_made_case():
    """Two bins: 3 of 4 right at 0.9 (gap 0.15), 1 of 2 right at 0.62 (gap 0.12): (4 x 0.15 + 2 x 0.12) / 6 = 0.14."""
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.62, 0.62], np.float32)
    right = np.array([1, 1, 1, 0, 1, 0], bool)
    found = summarise((~right).astype(int), np.stack([confidence, 1 - confidence], axis=1))
    assert found["calibration_error"] == pytest.approx(0.14, abs=1e-6)
    assert sum(found["reliability"]["count"]) == 6


def test_classes_without_items_or_answers_have_no_numbers_and_do_not_spoil_the_others():
    labels, probabilities = answers(60, 2, seed=1)
    probabilities = np.pad(probabilities, ((0, 0), (0, 1)))
    found = summarise(labels, probabilities)
    assert [found["classes"][2][name] for name in ("n", "named", "precision", "recall", "f1", "roc_auc")] == [0, 0, *[None] * 4]
    assert found["balanced_accuracy"] == pytest.approx(theirs.balanced_accuracy_score(labels, probabilities.argmax(axis=1)))
    with warnings.catch_warnings(action="error"):
        assert resampled(labels, probabilities, found)["macro_f1_low"] < found["macro_f1"]


def test_every_headline_has_an_interval_around_it():
    labels, probabilities = answers(400, 4, seed=3)
    found = summarise(labels, probabilities)
    found |= resampled(labels, probabilities, found)
    assert all(found[f"{name}_low"] < found[name] < found[f"{name}_high"] for name in HEADLINES)


def test_without_a_single_error_proportions_keep_an_honest_bound_and_resampling_says_nothing():
    labels = np.arange(40) % 2
    probabilities = np.eye(2, dtype=np.float32)[labels]
    found = summarise(labels, probabilities)
    found |= resampled(labels, probabilities, found)
    assert found["accuracy_low"] == pytest.approx(0.9124, abs=1e-4)  # Wilson: 40 / (40 + 1.96²)
    assert 0.85 < found["balanced_accuracy_low"] < 0.95
    assert (found["roc_auc_low"], found["macro_f1_low"]) == (None, None)


def test_bootstrap_of_a_mean_is_the_normal_interval_of_many_items():
    values = np.random.default_rng(0).gamma(2.0, size=2000)
    (means,) = intervals.bootstrap(lambda weights: (weights @ values / 2000)[None], 2000)
    low, high = intervals.percentile(means)
    half = 1.96 * values.std() / np.sqrt(2000)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15 * half)


def test_resamples_draw_n_items_each_and_the_same_ones_again():
    rows = np.concatenate(list(intervals.resamples(50, times=30, seed=4)))
    assert rows.shape == (30, 50)
    assert set(rows.sum(axis=1)) == {50}
    np.testing.assert_array_equal(rows, np.concatenate(list(intervals.resamples(50, times=30, seed=4))))


@pytest.mark.parametrize("shares", [(0.9, 0.8, 0.95), (0.99, 0.99, 0.5)])
def test_interval_of_balanced_accuracy_covers_the_truth(shares):
    """500 drawn test splits, 95 % stated; 3 standard errors of slack."""
    rng = np.random.default_rng(0)
    totals = [60, 30, 45]
    truth, hits = np.mean(shares), 0
    for _ in range(500):
        low, high = intervals.mean_of_proportions(
            [int(rng.binomial(n, p)) for n, p in zip(totals, shares, strict=True)], totals
        )
        hits += low <= truth <= high
    assert hits / 500 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 500)


def test_a_calibrated_models_error_interval_reaches_zero():
    """Labels drawn from the probabilities: the true error is 0, what is found above it is chance."""
    rng = np.random.default_rng(1)
    reached = 0
    for _ in range(60):
        share = rng.uniform(0.5, 1, 400)
        labels = (rng.random(400) > share).astype(int)
        probabilities = np.stack([share, 1 - share], axis=1).astype(np.float32)
        found = summarise(labels, probabilities)
        reached += resampled(labels, probabilities, found)["calibration_error_low"] == 0
    assert reached / 60 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 60)


def test_an_overconfident_models_error_interval_stays_above_zero():
    labels, probabilities = answers(600, 3, seed=5)
    sharp = probabilities.astype(np.float64) ** 4
    sharp = (sharp / sharp.sum(axis=1, keepdims=True)).astype(np.float32)
    found = summarise(labels, sharp)
    assert 0.05 < resampled(labels, sharp, found)["calibration_error_low"] < found["calibration_error"]


def test_wilson_is_scipys():
    found = summarise(np.zeros(50, int), np.eye(2, dtype=np.float32)[(np.arange(50) < 7).astype(int)])
    expected = stats.binomtest(43, 50).proportion_ci(method="wilson")
    assert (found["accuracy_low"], found["accuracy_high"]) == pytest.approx((expected.low, expected.high), abs=1e-9)
