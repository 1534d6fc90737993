import shutil

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway.deploy.check import serve_and_compare
from slipway.errors import BundleError, SlipwayError
from tests.helpers.bundles import FAMILIES, make_bundle, make_items, make_release

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    root = tmp_path_factory.mktemp("checked")
    return {family: make_release(make_bundle(family, root / f"{family}-bundle"), root / family) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_served_answers_are_the_scores(releases, family):
    items = make_items(family, 30)
    report = serve_and_compare(str(releases[family]), "tiny", items, bundles.load(releases[family]).predict(items))
    assert report["n"] == 200
    assert report["max_difference"] <= 1e-5
    assert report["label_agreement"] == 1
    assert 0 < report["p50_ms"] <= report["p95_ms"]
    assert report["sample"]["response"]["outputs"][1]["name"] == "label"


def test_item_whose_answer_differs_is_named(releases):
    items = make_items("cv", 5)
    expected = bundles.load(releases["cv"]).predict(items)
    expected[3] += np.float32(0.01)
    with pytest.raises(SlipwayError, match=r"item 3 is answered 0\.01 away from its score, allowed is 1e-05"):
        serve_and_compare(str(releases["cv"]), "tiny", items, expected)


def test_item_that_is_refused_is_named(releases):
    items = make_items("cv", 1)
    expected = bundles.load(releases["cv"]).predict(items * 2)
    with pytest.raises(SlipwayError, match=r"item 1 was answered 400 .*not an image"):
        serve_and_compare(str(releases["cv"]), "tiny", [*items, b"x"], expected)


def test_damaged_release_is_told_with_its_reason(releases, tmp_path):
    damaged = shutil.copytree(releases["nlp"], tmp_path / "damaged")
    (damaged / "vocabulary.json").write_text("[]")
    with pytest.raises(BundleError, match=r"vocabulary\.json: altered"):
        serve_and_compare(str(damaged), "tiny", [b"good"], np.ones((1, 2), np.float32) / 2)


def test_scores_of_another_number_of_items_are_refused(releases):
    with pytest.raises(SlipwayError, match="2 items for 3 scores"):
        serve_and_compare(str(releases["nlp"]), "tiny", [b"good", b"bad"], np.ones((3, 2), np.float32) / 2)
