"""Accuracy under disturbance, on real bundles and data sets."""

import json

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway.data.prepare import PrepareConfig, prepare
from slipway.data.raw import Item, RawData
from slipway.errors import ConfigError, DataError
from slipway.evaluation import robustness_view
from slipway.evaluation.corruptions import CORRUPTIONS, disturbed, opened
from slipway.evaluation.robustness import RobustnessConfig, measure
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
    result = measure(bundle, dataset, RobustnessConfig(max_items=40, threads=2))
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


@pytest.mark.parametrize(("family", "names"), [("defect", ("rotation", "noise")), ("nlp", ("typos", "joined words"))])
def test_the_result_depends_neither_on_threads_nor_on_other_corruptions(family, names, places):
    bundle, dataset = places[family]
    once = measure(bundle, dataset, RobustnessConfig(max_items=70, corruptions=names, threads=1))
    assert measure(bundle, dataset, RobustnessConfig(max_items=70, corruptions=names, threads=4)) == once
    alone = measure(bundle, dataset, RobustnessConfig(max_items=70, corruptions=(names[1], names[1])))
    assert alone["rows"] == [row for row in once["rows"] if row["corruption"] == names[1]]


def test_a_small_test_split_is_taken_whole(places):
    bundle, dataset = places["nlp"]
    result = measure(bundle, dataset, RobustnessConfig(max_items=10_000))
    assert result["n"] == result["of"] == len(dataset.raw("test"))


def test_what_cannot_be_measured_is_refused(places):
    bundle, dataset = places["nlp"]
    with pytest.raises(ConfigError, match=r"robustness.corruptions of texts: unknown 'typo'; did you mean 'typos'\? Known: "):
        measure(bundle, dataset, RobustnessConfig(corruptions=("typo",)))
    with pytest.raises(ConfigError, match=r"robustness.corruptions of texts: unknown 'blur'"):
        measure(bundle, dataset, RobustnessConfig(corruptions=("blur",)))
    with pytest.raises(DataError, match="texts of negative, positive, the model takes images of circle, square, triangle"):
        measure(places["cv"][0], dataset, RobustnessConfig())
    for wrong in ({"max_items": 0}, {"threads": -1}):
        with pytest.raises(ConfigError, match=f"robustness.{next(iter(wrong))}: must be"):
            RobustnessConfig(**wrong)


@pytest.mark.parametrize("form", ["svg", "png"])
def test_equal_results_give_equal_pictures(form, places):
    bundle, dataset = places["nlp"]
    result = measure(bundle, dataset, RobustnessConfig(max_items=20))
    picture = robustness_view.draw(result, form=form)
    assert picture == robustness_view.draw(result, form=form)
    if form == "svg":
        assert all(name in picture.decode() for name in result["corruptions"])


def test_the_table_has_a_line_for_each_corruption_and_the_worst(places):
    bundle, dataset = places["cv"]
    result = measure(bundle, dataset, RobustnessConfig(max_items=50, corruptions=("noise", "jpeg")))
    result["rows"][0]["accuracy"] = 0.123
    lines = robustness_view.table(result).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"undisturbed {100 * result['accuracy']:.1f} % (")
    assert lines[1].startswith("noise  mean ")
    assert " 12.3 @2 " in lines[1]
    assert lines[1].endswith("gray levels of 255")
    assert lines[3].startswith("worst: ")
