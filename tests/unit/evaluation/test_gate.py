"""The gate says why, with every number."""

import re

import numpy as np
import pytest

from slipway.config import configured
from slipway.errors import ConfigError
from slipway.evaluation import gate, rules
from slipway.evaluation.scores import Scores
from slipway.evaluation.summary import summarise
from slipway.metrics import log_loss, wilson_interval


def scores(right: int, n: int, *, champion_right: int | None = None, fresh: int | None = None, bundle: str = "b1") -> Scores:
    """Two balanced classes; the first `right` items are named correctly, the champion gets its first ones right."""
    labels = np.arange(n) % 2
    predicted = np.where(np.arange(n) < right, labels, 1 - labels)
    probabilities = np.eye(2, dtype=np.float32)[predicted]
    champion = None if champion_right is None else {"bundle": "b0", "release": "r0", "comparable": True}
    theirs = None
    if champion_right is not None:
        theirs = np.eye(2, dtype=np.float32)[np.where(np.arange(n) < champion_right, labels, 1 - labels)]
    summary = {
        "bundle": bundle,
        "variant": "v",
        "labels": ["no", "yes"],
        "champion": champion,
        "slices": [],
        "robustness": None,
        **summarise(labels, probabilities),
    }
    return Scores(
        "s",
        summary,
        [f"{i:x}" for i in range(n)],
        labels,
        probabilities,
        theirs,
        fresh_N=None if theirs is None else np.arange(n) < (fresh or n),
    )


CONFIG = gate.GateConfig(min_accuracy=0.8, min_class_recall=0.7, max_accuracy_drop=0.02, min_test_items=50)


def test_a_first_model_is_judged_by_floors_alone():
    verdict = gate.judge(scores(900, 1000), CONFIG)
    assert verdict.verdict == "pass"
    assert [rule.name for rule in verdict.rules] == ["enough_items", "accuracy", "better_than_guessing", "class_recall"]


@pytest.mark.parametrize(
    ("given", "rule", "words"),
    [
        (scores(40, 40), "enough_items", "insufficient_data: 40 test items, needed are 50"),
        (scores(700, 1000), "accuracy", "accuracy 0.7000 (0.6709 to 0.7276) < 0.8000"),
        (scores(850, 1000, champion_right=950), "non_inferior", "worse than the champion: difference -0.1000"),
        (scores(90, 100, champion_right=91), "non_inferior", "insufficient_data: cannot tell"),
    ],
)
def test_each_rule_refuses_with_its_numbers(given, rule, words):
    verdict = gate.judge(given, CONFIG)
    assert verdict.verdict == "fail"
    assert [r.name for r in verdict.rules if not r.passed] == [rule]
    assert words in verdict.reasons[0]


def test_a_model_that_only_names_the_most_frequent_class_is_refused_whatever_the_floors():
    rule = rules.better_than_guessing(0.89, [[90, 0], [10, 0]])
    assert not rule.passed
    assert rule.reason == "accuracy is at least 0.8900, not above the 0.9000 of always naming the most frequent class"


def test_a_weak_class_is_named():
    labels = np.repeat([0, 1], [900, 100])
    predicted = np.where(np.arange(1000) < 950, labels, 0)
    summary = summarise(labels, np.eye(2, dtype=np.float32)[predicted])
    about = {"bundle": "b", "labels": ["ok", "crack"], "champion": None, "slices": [], "robustness": None}
    given = Scores("s", {**about, **summary}, [], labels, None)
    assert "recall of worst class 'crack' 0.5000 < 0.7000" in gate.judge(given, CONFIG).reasons


def test_a_class_without_test_items_is_insufficient_data():
    rule = rules.class_recall_floor({"a": 0.9, "b": None}, 0.5)
    assert not rule.passed
    assert rule.reason == "insufficient_data: no test items of b"


def test_items_that_either_model_was_trained_on_do_not_count():
    """The champion is perfect on the stale half only; on the fresh half both are equal, so the challenger passes."""
    given = scores(1000, 1000, champion_right=500, fresh=500)
    *_, rule = gate.judge(given, CONFIG).rules
    assert rule.passed
    assert "on 500 items" in rule.reason


def test_the_very_champion_passes_whatever_the_number_of_items():
    *_, rule = gate.judge(scores(9, 10, champion_right=9, bundle="b0"), CONFIG).rules
    assert (rule.name, rule.passed) == ("non_inferior", True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_accuracy", 95),
        ("min_class_recall", -1),
        ("max_accuracy_drop", 0),
        ("min_test_items", 0),
        ("max_calibration_error", 5),
        ("max_latency_ms", 0),
    ],
)
def test_a_setting_out_of_range_is_named(field, value):
    good = {"min_accuracy": 0.5, "min_class_recall": 0.0}
    with pytest.raises(ConfigError, match=rf"gate\.{field}: must be"):
        gate.GateConfig(**{**good, field: value})


def gated(**asked):
    return configured(gate.GateConfig, {"min_accuracy": 0.8, "min_class_recall": 0.0} | asked, where="gate")


def measured(**numbers):
    given = scores(900, 1000)
    found = {"size_bytes": 3_000_000, "calibration_error": 0.04, **numbers}
    timings = {"latency_ms": {"median": 1.0, "p95": 2.5}, "variants": []}
    return Scores("s", {**given.summary, **found}, [], given.labels_N, given.probabilities_NK, timings=timings)


@pytest.mark.parametrize(
    ("setting", "passing", "failing", "reason"),
    [
        ("min_balanced_accuracy", 0.89, 0.91, "balanced accuracy 0.9000 < 0.9100"),
        ("max_calibration_error", 0.05, 0.03, "expected calibration error 0.04 > 0.03"),
        ("max_latency_ms", 3.0, 2.0, "95th percentile of one item's latency 2.5 ms > 2 ms"),
        ("max_size_mb", 3.0, 2.9, "size of v 3 MB > 2.9 MB"),
        ("recall_floors", "no=0.85", "no=0.85, yes=0.95", "recall of class 'yes' 0.9000 < 0.9500"),
        ("robustness_floors", "blur=0.6", "blur=0.8", "accuracy under 'blur' 0.7000 < 0.8000"),
        ("slice_floors", "camera=3=0.5", "camera=4=0.5", "accuracy on slice 'camera=4' 0.2500 < 0.5000"),
    ],
)
def test_a_rule_that_is_asked_for_passes_and_fails_by_its_threshold(setting, passing, failing, reason):
    given = measured(
        robustness={"corruptions": {"blur": {"accuracy": 0.7}}},
        slices=[{"slice": "camera=3", "accuracy": 0.5}, {"slice": "camera=4", "accuracy": 0.25}],
    )
    assert gate.judge(given, gated(**{setting: passing})).verdict == "pass"
    assert gate.judge(given, gated(**{setting: failing})).reasons == [reason]


@pytest.mark.parametrize(
    ("rules_", "message"),
    [
        ({"max_calibration_eror": 0.1}, "gate: unknown 'max_calibration_eror'; did you mean 'max_calibration_error'"),
        ({"recall_floors": "yes 0.9"}, "gate.recall_floors: 'yes 0.9': write NAME=SHARE"),
        ({"recall_floors": "yes=0.9,yes=0.8"}, "gate.recall_floors: yes is given twice"),
        ({"recall_floors": "yess=0.9"}, "recall_floors: recall of class: unknown 'yess'; did you mean 'yes'"),
        ({"robustness_floors": "blurr=0.9"}, "gate.robustness_floors: disturbance: unknown 'blurr'; did you mean 'blur'"),
        ({"max_size_mb": "big"}, "gate.max_size_mb: must be a number or none, got 'big'"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_in_one_line(rules_, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        gate.judge(measured(), gated(**rules_))


def test_the_verdict_tells_of_the_champion_on_the_same_items():
    told = gate.comparison(scores(900, 1000, champion_right=880, fresh=950), 0.02)
    assert (told["n"], told["only_challenger_right"], told["only_champion_right"]) == (950, 20, 0)
    assert told["p"] == pytest.approx(2 * 0.5**20)
    assert told["low"] < told["difference"] < told["high"]
    assert [row["label"] for row in told["classes"]] == ["no", "yes"]
    assert gate.comparison(scores(900, 1000), 0.02) is None


def test_wilson_interval_equals_the_published_example():
    """Newcombe 1998, table I: 81 of 263, method 3: 0.2553 to 0.3662."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    for n in range(1, 200):
        assert wilson_interval(n, n)[1] == 1
        assert wilson_interval(0, n)[0] == 0


def test_log_loss_equals_scikit_learn():
    from sklearn.metrics import log_loss as reference

    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(4), size=200)
    labels = rng.integers(0, 4, 200)
    assert log_loss(labels, probabilities) == pytest.approx(reference(labels, probabilities), rel=1e-9)
