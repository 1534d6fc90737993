"""What `evaluate` writes is what the gate, the server's check and people read back."""

import json
from dataclasses import replace

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway.data.datasets import open_dataset
from slipway.data.prepare import PrepareConfig, prepare
from slipway.errors import BundleError, DataError
from slipway.evaluation import scores
from slipway.evaluation.summary import summarise
from tests.helpers import datasets
from tests.helpers.bundles import LABELS, make_bundle


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    base = tmp_path_factory.mktemp("scored")
    shapes = open_dataset("shapes", family="cv", size=200)
    raw = replace(shapes, labels=LABELS["cv"], items=[item for item in shapes.items if item.label in LABELS["cv"]])
    dataset = prepare(raw, base / "data", PrepareConfig(family="cv", image_px=32))
    ours, theirs = (bundles.load(make_bundle("cv", base / str(seed), seed=seed)) for seed in (0, 1))
    return dataset, ours, scores.evaluate(ours, dataset, base / "scores", champion=theirs, champion_release="r1")


def test_scores_come_back_as_they_were(scored):
    dataset, ours, out = scored
    found = scores.load(out)
    np.testing.assert_array_equal(found.probabilities_NK, ours.predict(dataset.raw("test")))
    np.testing.assert_array_equal(found.labels_N, dataset.label_indices("test"))
    assert list(found.ids) == dataset.ids("test")
    assert found.summary["champion"]["release"] == "r1"
    assert (found.champion_NK.shape, found.fresh_N.dtype) == (found.probabilities_NK.shape, bool)
    assert found.timings["latency_ms"]["p95"] > 0


def test_every_number_follows_from_the_predictions_alone(scored):
    found = scores.load(scored[2])
    again = summarise(found.labels_N, found.probabilities_NK)
    assert {name: found.summary[name] for name in again} == json.loads(json.dumps(again))


def test_times_do_not_change_the_digest(scored, tmp_path):
    dataset, ours, out = scored
    champion = bundles.load(ours.path.parent / "1")
    again = scores.evaluate(ours, dataset, tmp_path / "again", champion=champion, champion_release="r1")
    assert scores.load(again).digest == scores.load(out).digest


def test_the_confusion_matrix_is_a_table_for_people():
    assert scores.confusion_text([[12, 3], [0, 7]], ["ok", "crack"]) == (
        "true \\ answer\n          ok  crack\n   ok     12      3\ncrack      0      7\n"
    )


def test_altered_predictions_are_refused(scored, tmp_path):
    dataset, ours, _ = scored
    out = scores.evaluate(ours, dataset, tmp_path / "scores", champion=None)
    with (out / "predictions.parquet").open("ab") as f:
        f.write(b"x")
    with pytest.raises(BundleError, match=r"predictions\.parquet"):
        scores.load(out)


def test_another_set_of_classes_is_refused_with_both(scored, tmp_path):
    steel = datasets.of_family("defect", tmp_path / "steel")
    with pytest.raises(DataError, match=r"its classes .* are not those of the model"):
        scores.evaluate(scored[1], steel, tmp_path / "scores", champion=None)
