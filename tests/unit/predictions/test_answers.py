"""Streams of answers: equal to the bundle's own, in order, whatever cannot be read."""

import csv
import json
import math

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway.errors import ConfigError, DataError
from slipway.predictions import inputs, output
from slipway.predictions.answers import answers
from tests.helpers.bundles import FAMILIES, make_bundle, make_items

COUNT = bundles.BATCH * 2 + 5


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    root = tmp_path_factory.mktemp("bundles")
    return {family: bundles.load(make_bundle(family, root / family)) for family in FAMILIES}


def write(family, folder, items):
    folder.mkdir(parents=True, exist_ok=True)
    if family == "nlp":
        (folder / "texts.txt").write_bytes(b"\xef\xbb\xbf" + b"\r\n\r\n".join(items))
        return
    for i, item in enumerate(items):
        (folder / ("ü ä" if i >= 100 else "a")).mkdir(exist_ok=True)
        (folder / ("ü ä" if i >= 100 else "a") / f"{i:03d}.png").write_bytes(item)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_gets_the_bundles_own_answers_in_order(loaded, tmp_path, family):
    items = make_items(family, COUNT)
    write(family, tmp_path, items)
    bundle = loaded[family]
    asked = inputs.find(bundle.preprocess.input_name, [str(tmp_path)])
    assert asked.count == (0 if family == "nlp" else COUNT)
    found = list(answers(bundle, asked.items, threads=3))
    np.testing.assert_allclose([a.probabilities_K for a in found], bundle.predict(items), atol=1e-6)
    numbers = [int(a.source.rpartition(" ")[2]) for a in found] if family == "nlp" else [a.source[-7:-4] for a in found]
    assert numbers == sorted(numbers)


def test_what_cannot_be_read_is_named_and_the_rest_is_answered(loaded, tmp_path):
    write("cv", tmp_path, make_items("cv", COUNT))
    (tmp_path / "a" / "003.png").write_bytes(b"no image")
    (tmp_path / "a" / "064.png").write_bytes(b"")
    (tmp_path / "a" / "070.png").unlink()
    (tmp_path / "a" / "070.png").symlink_to(tmp_path / "nowhere")
    found = list(answers(loaded["cv"], inputs.find("image", [str(tmp_path)]).items))
    bad = {a.source[-7:-4]: a.error for a in found if a.probabilities_K is None}
    assert list(bad) == ["003", "064", "070"]
    assert bad["003"].startswith("not an image (8 bytes)")
    assert "No such file" in bad["070"]
    assert len(found) == COUNT
    assert sum(a.probabilities_K is not None for a in found) == COUNT - 3


def test_a_damaged_table_does_not_stop_the_others(loaded, tmp_path):
    (tmp_path / "a.csv").write_text("text,label\nfine film,x\n")
    (tmp_path / "b.csv").write_text("words\nfine film\n")
    (tmp_path / "c.txt").write_bytes(b"good\n\xff\xfe\nbad plot\n")
    (tmp_path / "d.jsonl").write_text('{"review": "dull story"}\n')
    found = list(answers(loaded["nlp"], inputs.find("text", [str(tmp_path)], texts=["great"]).items))
    names = [a.source.removeprefix(f"{tmp_path}/") for a in found]
    assert names == ["--text 1", "a.csv row 2", "b.csv", "c.txt row 1", "c.txt row 2", "c.txt row 3", "d.jsonl row 1"]
    errors = {name: a.error for name, a in zip(names, found, strict=True) if a.error}
    assert list(errors) == ["b.csv", "c.txt row 2"]
    assert errors["b.csv"].startswith("no text column")
    assert errors["c.txt row 2"].startswith("not UTF-8")


def test_nothing_is_read_before_its_turn(loaded, tmp_path):
    """However many items there are, few are held."""
    write("cv", tmp_path, make_items("cv", 1))
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield inputs.Item(str(taken), tmp_path / "a" / "000.png")

    stream = answers(loaded["cv"], endless(), threads=2)
    assert next(stream).source == "1"
    assert taken <= 3 * bundles.BATCH
    stream.close()


@pytest.mark.parametrize(
    ("kind", "paths", "more", "error", "words"),
    [
        ("image", [], {}, ConfigError, "nothing to answer"),
        ("image", [], {"texts": ["x"]}, ConfigError, "takes images"),
        ("image", ["partz"], {}, DataError, "did you mean parts?"),
        ("image", ["empty"], {}, DataError, "holds no images"),
        ("text", ["parts"], {}, DataError, "holds no texts"),
        ("text", ["parts/x.png"], {}, DataError, "takes texts; give .txt, .csv"),
    ],
)
def test_a_mistake_is_told_before_anything_is_answered(tmp_path, monkeypatch, kind, paths, more, error, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "x.png").write_bytes(b"x")
    with pytest.raises(error) as raised:
        inputs.find(kind, paths, **more)
    assert words in str(raised.value)


@pytest.mark.parametrize("suffix", output.FORMATS)
def test_every_format_tells_the_same(loaded, tmp_path, suffix):
    bundle = loaded["nlp"]
    texts = ['fine, "great" film', "bad"]
    asked = inputs.find("text", [], texts=texts)
    target = tmp_path / f"answers{suffix}"
    with output.opened(target, bundle.labels, suffix=suffix) as put:
        for answer in answers(bundle, asked.items):
            put(answer)
        assert not target.exists()
    content = target.read_text(encoding="utf-8")
    if suffix == ".csv":
        rows = list(csv.DictReader(content.splitlines()))
        found = [(r["label"], float(r["confidence"]), [float(r[f"p_{name}"]) for name in bundle.labels]) for r in rows]
    else:
        rows = json.loads(content) if suffix == ".json" else [json.loads(line) for line in content.splitlines()]
        found = [(r["label"], r["confidence"], list(r["probabilities"].values())) for r in rows]
    expected = bundle.predict(texts)
    assert [r["file"] for r in rows] == ["--text 1", "--text 2"]
    for (label, confidence, probabilities), expected_K in zip(found, expected, strict=True):
        assert label == bundle.labels[expected_K.argmax()]
        assert math.isclose(confidence, expected_K.max(), abs_tol=1e-6)
        np.testing.assert_allclose(probabilities, expected_K, atol=1e-6)


@pytest.mark.parametrize("suffix", output.FORMATS)
def test_no_answers_are_a_valid_file(tmp_path, suffix):
    with output.opened(tmp_path / f"x{suffix}", ("a", "b"), suffix=suffix):
        pass
    content = (tmp_path / f"x{suffix}").read_text()
    assert content == {".csv": "file,label,confidence,p_a,p_b,error\n", ".jsonl": "", ".json": "[]\n"}[suffix]


def test_an_interrupted_file_keeps_what_was_there(tmp_path):
    (tmp_path / "x.csv").write_text("old")
    with pytest.raises(KeyboardInterrupt), output.opened(tmp_path / "x.csv", ("a",), suffix=".csv"):
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]
    assert (tmp_path / "x.csv").read_text() == "old"
