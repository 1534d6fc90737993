"""Accuracy by slice, against numbers worked out by hand, published and by statsmodels."""

import json

import numpy as np
import pytest

from slipway.evaluation.slices import by_slice, difference_interval, item_slices
from slipway.metrics import wilson_interval
from tests.helpers import datasets


def answers(predicted, num_classes=2):
    return np.eye(num_classes, dtype=np.float32)[predicted]


def test_a_slice_is_set_against_the_rest():
    labels = np.array([0] * 20 + [1] * 20)
    predicted = labels.copy()
    predicted[:6] = 1  # 6 of the 20 zeros are wrong
    first = np.arange(40) < 12  # 12 zeros, 6 of them wrong
    mixed = np.isin(np.arange(40), [18, *range(20, 40)])  # one zero, all ones
    rows = by_slice(
        labels, answers(predicted), {"camera=1": first, "none": np.zeros(40, bool), "mixed": mixed}, {"mixed": "1 to 9"}
    )
    assert json.loads(json.dumps(rows)) == rows
    assert [(row["slice"], row["range"]) for row in rows] == [("camera=1", ""), ("mixed", "1 to 9")]
    row = rows[0]
    assert (row["n"], row["accuracy"], row["rest_n"], row["rest_accuracy"], row["difference"]) == (12, 0.5, 28, 1, -0.5)
    assert (row["accuracy_low"], row["accuracy_high"]) == wilson_interval(6, 12)
    assert (row["difference_low"], row["difference_high"]) == difference_interval(6, 12, 28, 28)
    assert row["recall"] == [0.5, None]
    assert row["worse"]
    assert rows[1]["recall"] == [None, 1]  # one zero is too few
    assert (rows[1]["accuracy"], rows[1]["rest_accuracy"], rows[1]["worse"]) == (1, 13 / 19, False)


def test_no_slices_no_rows():
    assert by_slice(np.array([0, 1]), answers(np.array([0, 1])), {"none": np.zeros(2, bool)}) == []


def test_a_slice_of_everything_has_no_rest():
    labels = np.array([0, 1, 1])
    (row,) = by_slice(labels, answers(labels), {"all": np.ones(3, bool)})
    assert (row["rest_n"], row["difference"], row["rest_accuracy"], row["worse"]) == (0, None, None, False)


@pytest.mark.parametrize(("per_slice", "error"), [(100, 0.1), (20, 0.01)])
def test_of_many_equally_good_slices_hardly_any_report_calls_one_worse(per_slice, error):
    rng = np.random.default_rng(0)
    reports, slices = 150, 20
    items = per_slice * slices
    labels = np.zeros(items, np.int64)
    masks = {str(i): np.arange(items) % slices == i for i in range(slices)}
    alarms = intervals = 0
    for _ in range(reports):
        rows = by_slice(labels, answers((rng.random(items) < error).astype(int)), masks)
        alarms += any(row["worse"] for row in rows)
        intervals += any(row["difference_high"] < 0 for row in rows)
    assert alarms / reports < 0.075  # 0.05 planned
    assert intervals / reports > 0.25


def test_a_slice_is_called_worse_by_fishers_exact_test_and_holm():
    from scipy.stats import fisher_exact

    labels = np.zeros(60, np.int64)
    predicted = np.zeros(60, np.int64)
    predicted[[0, 1, 2, 3, 20, 40]] = 1
    masks = {"bad": np.arange(60) < 12, "good": np.arange(60) >= 30}
    expected = [fisher_exact([[8, 4], [46, 2]], "less").pvalue, fisher_exact([[29, 1], [25, 5]], "less").pvalue]
    bad, good = by_slice(labels, answers(predicted), masks)
    assert bad["p"] == pytest.approx(2 * expected[0], abs=1e-12)
    assert good["p"] == pytest.approx(expected[1], abs=1e-12)
    assert (bad["worse"], good["worse"]) == (True, False)


def test_interval_of_a_difference_is_newcombes():
    """Newcombe 1998, table II, example (a): 56 of 70 against 48 of 80."""
    assert difference_interval(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize("counts", [(56, 70, 48, 80), (0, 10, 0, 20), (10, 10, 0, 10), (1, 2, 999, 1000), (9, 10, 3, 10)])
def test_interval_of_a_difference_is_statsmodels(counts):
    from statsmodels.stats.proportion import confint_proportions_2indep

    expected = confint_proportions_2indep(*counts, compare="diff", method="newcomb")
    assert difference_interval(*counts) == pytest.approx(expected, abs=1e-9)


def test_texts_are_cut_into_thirds_by_length_and_images_by_brightness(tmp_path):
    texts = datasets.texts(tmp_path / "texts", count=200)
    masks, ranges = item_slices(texts, "test")
    lengths = np.array([len(t) for t in texts.texts("test")])
    assert list(masks) == list(ranges) == ["length=short", "length=middle", "length=long"]
    assert (np.sum(list(masks.values()), axis=0) == 1).all()
    assert all(0.15 < mask.mean() < 0.5 for mask in masks.values())
    assert lengths[masks["length=short"]].max() < lengths[masks["length=middle"]].min()
    long = lengths[masks["length=long"]]
    assert ranges["length=long"] == f"{long.min()} to {long.max()} characters"
    images = datasets.images(tmp_path / "images", family="defect")
    masks, ranges = item_slices(images, "validation")
    means = images.arrays("validation")[0].mean(axis=(1, 2, 3))
    assert means[masks["brightness=dark"]].max() < means[masks["brightness=bright"]].min()
    assert ranges["brightness=dark"].endswith(" gray levels of 255")


def test_items_that_are_all_alike_have_no_thirds(tmp_path):
    from slipway.data.prepare import PrepareConfig, prepare
    from slipway.data.raw import Item, RawData

    items = [Item(f"text {i}", "ab"[i % 2], str(i)) for i in range(1000, 1100)]
    alike = prepare(RawData(name="x", kind="text", labels=("a", "b"), items=items), tmp_path / "x", PrepareConfig(family="nlp"))
    assert item_slices(alike, "train") == ({}, {})
