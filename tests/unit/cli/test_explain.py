"""`slipway explain`: words as a table, images as a picture, both as JSON; what cannot be asked is one line."""

import json

import pytest
from PIL import Image

from tests.helpers.bundles import LABELS, make_bundle, make_items
from tests.helpers.command import within


@pytest.mark.parametrize("family", ["cv", "defect"])
def test_an_image_gets_a_picture_and_a_map(family, capsys, tmp_path):
    model = make_bundle(family, tmp_path / "bundle")
    (tmp_path / "naïve item.png").write_bytes(make_items(family, 1)[0])
    code, out, err = within(capsys, "explain", model, tmp_path / "naïve item.png", "-o", tmp_path / "heat.png", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["label"] == max(found["probabilities"], key=found["probabilities"].get)
    assert max(map(max, found["heatmap"])) == 1
    with Image.open(tmp_path / "heat.png") as picture:
        assert picture.size == (256, 256)


def test_a_text_gets_its_words_from_a_file_or_the_command_line(capsys, tmp_path):
    model = make_bundle("nlp", tmp_path / "bundle")
    (tmp_path / "review.txt").write_text("a fine film")
    answers = [("--text", "a fine film"), (tmp_path / "review.txt",)]
    found = [json.loads(within(capsys, "explain", model, *given, "--json")[1]) for given in answers]
    assert found[0] == found[1]
    assert [(w["text"], w["start"], w["end"]) for w in found[0]["words"]] == [("a", 0, 1), ("fine", 2, 6), ("film", 7, 11)]
    code, out, _ = within(capsys, "explain", model, "--text", "a fine film", "--target", "negative")
    assert code == 0
    assert out.startswith("negative ")
    assert all(f"{-w['fall'] if found[0]['label'] == 'positive' else w['fall']:+.3f}" in out for w in found[0]["words"])


@pytest.mark.parametrize(
    ("family", "arguments", "reason"),
    [
        ("cv", (), "give one item"),
        ("cv", ("{item}", "--text", "fine"), "give one item"),
        ("cv", ("--text", "fine"), "answers images"),
        ("nlp", ("--text", "fine", "-o", "{folder}/heat.png"), "no picture"),
        ("cv", ("{item}", "-o", "{folder}/heat.jpg"), "must end in .png"),
        ("cv", ("{item}", "-o", "{folder}/none/heat.png"), "cannot be written"),
        ("cv", ("{folder}/none.png",), "cannot be read"),
        ("cv", ("{folder}",), "cannot be read"),
        ("cv", ("{item}", "--target", "squar"), f"did you mean '{LABELS['cv'][1]}'"),
        ("nlp", ("{item}",), "not UTF-8"),
    ],
)
def test_what_cannot_be_asked_is_one_line(family, arguments, reason, capsys, tmp_path):
    model = make_bundle(family, tmp_path / "bundle")
    item = tmp_path / "item.png"
    item.write_bytes(make_items("cv", 1)[0])
    code, out, err = within(capsys, "explain", model, *(a.format(item=item, folder=tmp_path) for a in arguments))
    assert (code, out) == (2, "")
    assert reason in err
    assert err.count("\n") == 1
