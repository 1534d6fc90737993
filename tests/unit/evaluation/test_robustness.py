"""Accuracy under disturbance, on real bundles and data sets."""

import json

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway.data.prepare import PrepareConfig, prepare
from slipway.data.raw import Item, RawData
from slipway.errors import DataError
from slipway.evaluation.corruptions import CORRUPTIONS, disturbed, opened
from slipway.evaluation.report import pictures
from slipway.evaluation.robustness import measure
from tests.helpers.bundles import FAMILIES, LABELS, make_bundle, make_items


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Family -> a bundle, and a data set whose labels are mostly its answers."""
    root = tmp_path_factory.mktemp("robustness")
    made = {}
    for family in FAMILIES:
        bundle = bundles.load(make_bundle(family, root / f"{family}-bundle"), threads=1)
        items = make_items(family, 260, seed=3)
        names = [LABELS[family][i] for i in bundle.predict(items).argmax(axis=1)]
        names[::10] = [LABELS[family][i % len(LABELS[family])] for i in range(len(names[::10]))]
        kind = "text" if family == "nlp" else "image"
        content = [i.decode() if kind == "text" else i for i in items]
        raw = RawData(
            name="some", kind=kind, labels=LABELS[family], image_px=32 if family == "cv" else 64,
            items=[Item(c, name, str(i)) for i, (c, name) in enumerate(zip(content, names, strict=True))],
        )  # fmt: skip
        config = PrepareConfig(family=family, train_fraction=0.3, validation_fraction=0.3)
        made[family] = bundle, prepare(raw, root / f"{family}-data", config)
    return made


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_the_bundles_answers_to_the_disturbed_bytes(family, places):
    bundle, dataset = places[family]
    result = measure(bundle, dataset, max_items=40)
    assert json.loads(json.dumps(result)) == result
    labels, raw, seeds = dataset.label_indices("test")[:40], dataset.raw("test")[:40], dataset.item_hashes("test")[:40]
    before = bundle.predict(raw).argmax(axis=1) == labels
    assert (result["n"], result["of"], result["accuracy"]) == (40, len(dataset.raw("test")), before.mean())
    names = [name for name, c in CORRUPTIONS.items() if c.kind == dataset.kind]
    assert [(r["corruption"], r["severity"]) for r in result["rows"]] == [
        (name, severity) for name in names for severity in CORRUPTIONS[name].severities
    ]
    row = next(
        r for r in result["rows"] if r["corruption"] == names[0] and r["severity"] == CORRUPTIONS[names[0]].severities[-1]
    )
    sent = [disturbed(names[0], row["severity"], opened(r, bundle.preprocess), int(s)) for r, s in zip(raw, seeds, strict=True)]
    after = bundle.predict(sent).argmax(axis=1) == labels
    assert (row["n"], row["accuracy"], row["undisturbed"]) == (40, after.mean(), before.mean())
    assert (row["lost"], row["gained"]) == ((before & ~after).sum(), (after & ~before).sum())
    assert row["difference"] == pytest.approx(after.mean() - before.mean())
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert result["worst"]["difference"] == min(r["difference"] for r in result["rows"])
    for name in names:
        own = [r["accuracy"] for r in result["rows"] if r["corruption"] == name]
        assert result["corruptions"][name]["accuracy"] == pytest.approx(np.mean(own))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_result_does_not_depend_on_threads(family, places, monkeypatch):
    bundle, dataset = places[family]
    monkeypatch.setenv("SLIPWAY_THREADS", "1")
    once = measure(bundle, dataset, max_items=70)
    monkeypatch.setenv("SLIPWAY_THREADS", "4")
    assert measure(bundle, dataset, max_items=70) == once


def test_a_small_test_split_is_taken_whole(places):
    bundle, dataset = places["nlp"]
    result = measure(bundle, dataset, max_items=10_000)
    assert result["n"] == result["of"] == len(dataset.raw("test"))


def test_a_data_set_of_other_classes_is_refused(places):
    with pytest.raises(DataError, match="texts of negative, positive, the model takes images of circle, square, triangle"):
        measure(places["cv"][0], places["nlp"][1], max_items=5)


def test_equal_results_give_equal_pictures_with_every_name(places):
    result = measure(*places["nlp"], max_items=20)
    picture = pictures.svg(pictures.robustness(result))
    assert picture == pictures.svg(pictures.robustness(result))
    assert all(name in picture for name in result["corruptions"])
