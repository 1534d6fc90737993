"""The paired bound against independent arithmetic, and its level by simulation."""

from math import sqrt

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats import contingency_tables
from statsmodels.stats.multitest import multipletests

from slipway.evaluation.compare import bootstrap_difference, class_differences, holm, mcnemar_exact, paired_difference


def _pairs(both: int, only_challenger: int, only_champion: int, neither: int):
    challenger = [True] * (both + only_challenger) + [False] * (only_champion + neither)
    champion = [True] * both + [False] * only_challenger + [True] * only_champion + [False] * neither
    return np.array(challenger), np.array(champion)


@pytest.mark.parametrize(("b", "c", "n"), [(5, 3, 100), (0, 0, 180), (40, 10, 500), (1, 9, 60)])
def test_bound_equals_the_published_formula_on_augmented_counts(b, c, n):
    found = paired_difference(*_pairs(n - b - c, b, c, 0), max_drop=0.01)
    p12, p21 = (b + 0.5) / (n + 2), (c + 0.5) / (n + 2)
    z = stats.norm.ppf(0.95)
    expected = (p12 - p21) - z * sqrt((p12 + p21 - (p12 - p21) ** 2) / (n + 2))
    assert found.lower == pytest.approx(expected, abs=1e-9)
    assert found.difference == pytest.approx((b - c) / n)
    assert (found.only_challenger_right, found.only_champion_right) == (b, c)


def test_a_challenger_at_the_margin_passes_at_most_five_per_cent_of_the_time():
    """At a true difference of exactly -max_drop a bound above it is a false pass; level 5 %, 3 standard errors of slack."""
    rng = np.random.default_rng(0)
    n, trials, p_b, p_c = 1000, 2000, 0.02, 0.03
    counts = rng.multinomial(n, [p_b, p_c, 1 - p_b - p_c], size=trials)
    passes = sum(paired_difference(*_pairs(n - b - c, b, c, 0), max_drop=0.01).lower > -0.01 for b, c, _ in counts)
    assert passes / trials <= 0.05 + 3 * sqrt(0.05 * 0.95 / trials)


def test_with_the_items_said_to_do_four_in_five_equal_challengers_pass():
    """Drawn with as many disagreements as seen before, equally good; 3 standard errors of slack."""
    disagree, drop, trials = 0.06, 0.02, 2000
    needed = paired_difference(*_pairs(940, 30, 30, 0), max_drop=drop).needed
    counts = np.random.default_rng(0).multinomial(needed, [disagree / 2, disagree / 2, 1 - disagree], size=trials)
    passes = sum(paired_difference(*_pairs(needed - b - c, b, c, 0), max_drop=drop).lower > -drop for b, c, _ in counts)
    assert passes / trials == pytest.approx(0.8, abs=3 * sqrt(0.8 * 0.2 / trials) + 0.01)


@pytest.mark.parametrize(("b", "c"), [(25, 10), (0, 6), (4, 4), (0, 0)])
def test_mcnemar_is_that_of_statsmodels(b, c):
    expected = contingency_tables.mcnemar([[50, b], [c, 7]], exact=True).pvalue if b + c else 1.0
    assert mcnemar_exact(b, c) == pytest.approx(expected, abs=1e-12)


def test_holm_is_that_of_statsmodels():
    p_values = [0.01, 0.04, 0.03, 0.005, 0.9, 0.04]
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


def test_bootstrap_of_the_difference_agrees_with_its_normal_interval():
    challenger, champion = _pairs(1700, 180, 120, 0)
    low, high = bootstrap_difference(challenger, champion)
    half = stats.norm.ppf(0.975) * (challenger.astype(float) - champion).std() / sqrt(2000)
    assert (low, high) == pytest.approx((0.03 - half, 0.03 + half), abs=0.06 * half)


def test_the_class_that_fell_is_found_and_the_unchanged_ones_are_not():
    labels = np.arange(300) % 3
    champion = np.ones(300, bool)
    challenger = ~((labels == 1) & (np.arange(300) < 60))  # 20 of class 1's 100 are wrong now
    found = {row.label: row for row in class_differences(labels, challenger, champion, ["a", "b", "c"])}
    assert found["b"].difference == pytest.approx(-0.2)
    assert found["b"].p_corrected == pytest.approx(3 * 2 * 0.5**20)
    assert (found["a"].p_corrected, found["c"].difference) == (1.0, 0.0)
