"""What the checks say of small data sets with planted faults."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from slipway.data.checks import report
from slipway.data.checks.check import check
from slipway.data.checks.config import CHECKS, CheckConfig
from slipway.data.checks.shift import class_shift, value_shift
from slipway.data.datasets import open_dataset
from slipway.data.prepare import PrepareConfig, prepare
from slipway.data.raw import Item, RawData
from slipway.errors import BundleError, ConfigError, DataError
from slipway.store import files
from tests.helpers import datasets
from tests.unit.data.checks.test_near import photograph

CONFIG = CheckConfig()


def named(result):
    return {finding.check: finding for finding in result.findings}


def photographs(path, extra=(), count=90):
    items = [Item(photograph(i), "ab"[i % 2], f"größe/{i}.png", ("train", "validation", "test")[i % 3]) for i in range(count)]
    raw = RawData(name="some", kind="image", labels=("a", "b"), items=[*items, *extra], image_px=32)
    return prepare(raw, path, PrepareConfig(family="cv"))


def reviews(path, extra=(), split=("train", "validation", "test"), labels=("bad", "good")):
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(300)]
    items = []
    for i in range(240):
        told = ("awful dull poor", "great lovely fine")[i % 2].split()
        text = " ".join([*rng.choice(words, 8), *rng.choice(told, 3)])
        items.append(Item(text, ("bad", "good")[i % 2], f"row {i}", split[i % 3]))
    return prepare(RawData(name="some", kind="text", labels=labels, items=[*items, *extra]), path, PrepareConfig(family="nlp"))


@pytest.mark.parametrize("family", ["cv", "defect", "nlp"])
def test_report_is_complete_reads_back_and_is_the_same_each_time(family, tmp_path):
    dataset = datasets.of_family(family, tmp_path / "data")
    result = check(dataset, CONFIG, tmp_path / "out")
    assert report.load(tmp_path / "out") == result
    answered = {*result.passed, *result.not_made, *named(result)}
    assert set(CHECKS) - answered == ({"odd_sizes"} if family == "nlp" else {"empty_texts", "long_texts"})
    check(dataset, CONFIG, tmp_path / "again")
    assert files.read_manifest(tmp_path / "again").digest == files.read_manifest(tmp_path / "out").digest
    report.refuse(result)


def test_copies_across_and_within_splits_and_conflicts_of_images_are_found(tmp_path):
    extra = [
        Item(photograph(0), "a", "copy.png", "test"),
        Item(photograph(3), "b", "twin.png", "train"),
        Item(photograph(6)[:, ::-1], "a", "mirror.png", "test"),
    ]
    result = check(photographs(tmp_path / "data", extra), CONFIG, tmp_path / "out")
    found = named(result)
    assert {item.source for item in found["exact_across_splits"].items} == {"größe/0.png", "copy.png"}
    assert {item.source for item in found["exact_within_split"].items} == {"größe/3.png", "twin.png"}
    assert {item.source for item in found["near_across_splits"].items} == {"größe/6.png", "mirror.png"}
    assert "1 of 32 test items (3.1 %)" in found["near_across_splits"].message
    assert "label_conflicts" not in found
    for finding in found.values():
        if finding.items:
            with Image.open(tmp_path / "out" / finding.picture) as picture:
                assert picture.width > 150


def test_label_conflicts_name_both_labels(tmp_path):
    extra = [Item(photograph(0), "b", "other.png", "train"), Item(photograph(4)[:, ::-1], "b", "mirror.png", "train")]
    finding = named(check(photographs(tmp_path / "data", extra), CONFIG, tmp_path / "out"))["label_conflicts"]
    assert finding.message.startswith("1 equal and 1 almost equal contents have different labels (a/b 2)")
    assert {(item.source, item.label, item.group) for item in finding.items} == {
        ("größe/0.png", "a", 0),
        ("other.png", "b", 0),
        ("größe/4.png", "a", 1),
        ("mirror.png", "b", 1),
    }


def test_sets_of_alike_drawings_are_held_to_a_stricter_measure(tmp_path):
    raw = open_dataset("digits", family="cv")
    result = check(prepare(raw, tmp_path / "data", PrepareConfig(family="cv")), CONFIG, tmp_path / "out")
    near = named(result)["near_across_splits"]
    assert near.count < 100
    assert "most images of this set are alike" in near.message


def test_refusal_is_written_before_it_is_raised_and_names_the_worst_and_the_way_out(tmp_path):
    dataset = photographs(tmp_path / "data", [Item(photograph(0), "a", "copy.png", "test")])
    check(dataset, replace(CONFIG, exact_across_splits="refuse"), tmp_path / "out")
    written = report.load(tmp_path / "out")
    with pytest.raises(DataError, match=r"test: copy\.png.*remove the copies.*checks\.exact_across_splits to warn") as caught:
        report.refuse(written)
    assert "\n" not in str(caught.value)


def test_checks_that_are_off_are_neither_made_nor_named(tmp_path):
    off = CheckConfig(**dict.fromkeys(CHECKS, "off"))
    result = check(datasets.images(tmp_path / "data"), off, tmp_path / "out")
    assert (result.findings, result.passed, result.not_made) == ([], [], {})


def test_flipped_labels_are_suspicious(tmp_path):
    extra = [Item("great lovely fine great lovely fine", "bad", "row 500", "train")]
    finding = named(check(reviews(tmp_path / "data", extra), CONFIG, tmp_path / "out"))["suspicious_labels"]
    assert [item.source for item in finding.items] == ["great lovely fine great lovely fine"]
    assert finding.items[0].note.startswith("good? ")


def test_model_that_knows_nothing_judges_no_label(tmp_path):
    result = check(photographs(tmp_path / "data"), CONFIG, tmp_path / "out")
    assert "cannot judge" in result.not_made["suspicious_labels"]


def test_texts_without_words_and_long_ones_are_found(tmp_path):
    extra = [Item("?!", "bad", "row 500", "train"), *(Item("word " * (130 + i), "good", "row", "train") for i in range(20))]
    found = named(check(reviews(tmp_path / "data", extra), CONFIG, tmp_path / "out"))
    assert [item.source for item in found["empty_texts"].items] == ["?!"]
    assert found["long_texts"].count == 20
    assert found["long_texts"].items[0].note == "149 words and marks"


def test_rare_class_is_found(tmp_path):
    extra = [Item(f"neither {i}", "none", f"row {500 + i}", "train") for i in range(3)]
    result = check(reviews(tmp_path / "data", extra, labels=("bad", "good", "none")), CONFIG, tmp_path / "out")
    assert "1 of 3 classes are rare in train: none 3" in named(result)["class_imbalance"].message
    assert "class 'none' has 3" in result.not_made["suspicious_labels"]


def test_odd_sizes_are_found_and_unknown_ones_are_not_judged(tmp_path):
    wide = np.random.default_rng(0).integers(0, 255, (20, 200, 3), dtype=np.uint8)
    dataset = photographs(tmp_path / "data", [Item(wide, "a", "wide.png", "train")])
    finding = named(check(dataset, CONFIG, tmp_path / "out"))["odd_sizes"]
    assert [(item.source, item.note) for item in finding.items] == [("wide.png", "200x20 px")]
    (dataset.path / "train_sizes.npy").unlink()  # as in data sets of versions that did not keep sizes
    assert "prepare it again" in check(dataset, CONFIG, tmp_path / "out").not_made["odd_sizes"]


def test_shift_of_brightness_is_found(tmp_path):
    dark = [Item(photograph(200 + i) // 2, "ab"[i % 2], f"{i}.png", "test") for i in range(60)]
    finding = named(check(photographs(tmp_path / "data", dark), CONFIG, tmp_path / "out"))["split_shift"]
    assert "test has another brightness (median" in finding.message


def test_shift_of_50_000_items_counts_by_its_size_not_by_its_p_value():
    rng = np.random.default_rng(0)
    train, other = rng.normal(0, 1, 50_000), rng.normal(0.06, 1, 50_000)
    p, effect = value_shift(train, other)
    assert p < CONFIG.shift_p
    assert 0.01 < effect < CONFIG.shift_effect
    assert effect == pytest.approx(stats.kstest(train, other).statistic, abs=1e-9)


def test_class_shift_is_the_textbook_chi_square():
    train, other = np.repeat([0, 1], [90, 60]), np.repeat([0, 1], [30, 104])
    p, effect = class_shift(train, other, 3)
    chi_square = 284 * (90 * 104 - 60 * 30) ** 2 / (150 * 134 * 120 * 164)
    assert p == pytest.approx(stats.chi2.sf(chi_square, 1), rel=1e-9)
    assert effect == pytest.approx(np.sqrt(chi_square / 284), rel=1e-9)


def test_lists_are_limited_and_counts_are_not(tmp_path):
    extra = [Item(f"... {'!' * i}", "bad", f"row {i}", "train") for i in range(30)]
    config = replace(CONFIG, listed_items=7)
    finding = named(check(reviews(tmp_path / "data", extra), config, tmp_path / "out"))["empty_texts"]
    assert (finding.count, len(finding.items)) == (30, 7)


def test_newer_format_is_refused(tmp_path):
    check(datasets.texts(tmp_path / "data"), CONFIG, tmp_path / "out")
    stored = json.loads((tmp_path / "out" / report.REPORT).read_text(encoding="utf-8"))
    files.write_json(tmp_path / "out" / report.REPORT, {**stored, "format": 2})
    files.write_manifest(tmp_path / "out")
    with pytest.raises(BundleError, match="upgrade slipway"):
        report.load(tmp_path / "out")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"odd_sizes": "warning"}, "checks.odd_sizes: unknown 'warning'; did you mean 'warn'"),
        ({"near_image": 80}, "checks.near_image: must be 0.5 to 1, got 80"),
        ({"listed_items": 0}, "checks.listed_items: must be 1 to 10000, got 0"),
        ({"shift_p": float("nan")}, "checks.shift_p: must be 0 to 1, got nan"),
    ],
)
def test_impossible_configuration_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        CheckConfig(**values)
