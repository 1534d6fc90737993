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
    rows = by_slice(labels, answers(predicted), {"camera=1": first, "none": np.zeros(40, bool), "mixed": mixed})
    assert json.loads(json.dumps(rows)) == rows
    assert [row["slice"] for row in rows] == ["camera=1", "mixed"]
    row = rows[0]
    assert (row["n"], row["accuracy"], row["rest_n"], row["rest_accuracy"], row["difference"]) == (12, 0.5, 28, 1, -0.5)
    assert (row["accuracy_low"], row["accuracy_high"]) == wilson_interval(6, 12)
    assert (row["difference_low"], row["difference_high"]) == difference_interval(6, 12, 28, 28)
    assert row["recall"] == [0.5, None]
    assert row["worse"]
    assert rows[1]["recall"] == [None, 1]  # one zero is too few
    assert (rows[1]["accuracy"], rows[1]["rest_accuracy"], rows[1]["worse"]) == (1, 13 / 19, False)


def test_a_slice_of_everything_has_no_rest():
    labels = np.array([0, 1, 1])
    (row,) = by_slice(labels, answers(labels), {"all": np.ones(3, bool)})
    assert (row["rest_n"], row["difference"], row["rest_accuracy"], row["worse"]) == (0, None, None, False)


def test_of_many_equally_good_slices_hardly_any_report_calls_one_worse():
    rng = np.random.default_rng(0)
    reports, slices, alarms, uncorrected = 400, 20, 0, 0
    labels = np.zeros(2000, np.int64)
    masks = {str(i): np.arange(2000) % slices == i for i in range(slices)}
    for _ in range(reports):
        rows = by_slice(labels, answers((rng.random(2000) < 0.1).astype(int)), masks)
        alarms += any(row["worse"] for row in rows)
        uncorrected += any(row["difference_high"] < 0 for row in rows)
    assert alarms / reports < 0.06  # 2.5 % planned; these slices have 100 items each
    assert uncorrected / reports > 0.25


def test_interval_of_a_difference_is_newcombes():
    """Newcombe 1998, table II, example (a): 56 of 70 against 48 of 80."""
    assert difference_interval(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize("counts", [(56, 70, 48, 80), (0, 10, 0, 20), (10, 10, 0, 10), (1, 2, 999, 1000), (9, 10, 3, 10)])
def test_interval_of_a_difference_is_statsmodels(counts):
    proportion = pytest.importorskip("statsmodels.stats.proportion", reason="statsmodels is not installed")
    expected = proportion.confint_proportions_2indep(*counts, compare="diff", method="newcomb")
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
