"""`slipway export`, `evaluate`, `predict` and `explore`."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from slipway import bundle as bundles
from slipway.data.dataset import Dataset
from slipway.evaluation import scores
from tests.helpers import checkpoints, datasets
from tests.helpers.bundles import make_bundle, make_items
from tests.helpers.command import within


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set, a checkpoint of an untrained network, and where its bundle is to be."""
    root = tmp_path_factory.mktemp("path")
    data = datasets.images(root / "data")
    return data, checkpoints.write(data, root / "checkpoint", checkpoints.MEMBERS[:1]), root / "bundle"


@pytest.fixture
def bundle(made, capsys, monkeypatch):
    """Its bundle, by `slipway export`."""
    monkeypatch.setenv("SLIPWAY_THREADS", "1")
    data, checkpoint, target = made
    if not target.exists():
        code, out, err = within(capsys, "export", checkpoint, "--data", data.path, "-o", target, "--json")
        assert code == 0, err
        assert json.loads(out)["digest"] == bundles.load(target).digest
    return target


def folder_of(dataset, split, target, labels=None):
    """The items of a split as the user's own folder of classes."""
    images, indices = dataset.arrays(split)
    for i, (pixels, k) in enumerate(zip(images, indices, strict=True)):
        if labels is None or dataset.labels[k] in labels:
            (target / dataset.labels[k]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(target / dataset.labels[k] / f"{split}{i}.png")
    return target


def result(capsys, *arguments, code=0):
    ended, out, err = within(capsys, *arguments)
    assert ended == code, err
    return json.loads(out)


def test_evaluate_gives_the_pipelines_numbers(capsys, made, bundle, tmp_path):
    found = result(capsys, "evaluate", bundle, "--data", made[0].path, "-o", tmp_path / "mine", "--json")
    scores.evaluate(bundles.load(bundle, threads=1), made[0], tmp_path / "theirs", champion=None)
    theirs = scores.load(tmp_path / "theirs").summary
    assert {name: found[name] for name in theirs} == theirs
    assert (found["trained_on"], found["folder"]) == (0, str(tmp_path / "mine"))
    assert scores.load(tmp_path / "mine").summary == theirs


def test_a_folder_without_splits_is_all_test_and_what_was_trained_on_is_left_out(capsys, made, bundle, tmp_path):
    data, *_ = made
    for split in ("train", "test"):
        folder_of(data, split, tmp_path / "own")
    counts = {split: len(data.label_indices(split)) for split in ("train", "test")}
    found = result(capsys, "evaluate", bundle, "--data", tmp_path / "own", "--json")
    assert (found["n"], found["trained_on"]) == (counts["test"], counts["train"])
    plain = result(capsys, "evaluate", bundle, "--data", data.path, "--json")
    assert found["confusion"] == plain["confusion"]
    counted = result(capsys, "evaluate", bundle, "--data", tmp_path / "own", "--with-trained", "--json")
    assert (counted["n"], counted["trained_on"]) == (sum(counts.values()), counts["train"])


def test_a_folder_may_lack_classes_and_has_its_own_test_folder(capsys, made, bundle, tmp_path):
    data, *_ = made
    folder_of(data, "test", tmp_path / "own" / "test", labels=["red"])
    folder_of(data, "validation", tmp_path / "own" / "train")
    found = result(capsys, "evaluate", bundle, "--data", tmp_path / "own", "--json")
    assert found["n"] == data.counts["test"]["red"]
    assert [row["n"] for row in found["classes"]] == [0, 0, found["n"]]


def test_evaluate_takes_a_table_with_slices_and_the_test_split_of_a_known_set(capsys, tmp_path):
    nlp = make_bundle("nlp", tmp_path / "nlp")
    with (tmp_path / "own.csv").open("w", newline="") as f:
        rows = [("good film", "positive", "web"), ("bad plot", "negative", "shop"), ("dull story", "negative", "web")]
        csv.writer(f).writerows([("text", "label", "from"), *rows])
    found = result(capsys, "evaluate", nlp, "--data", tmp_path / "own.csv", "--slice-columns", "from", "--json")
    assert found["n"] == 3
    assert {"from=shop", "from=web"} <= {s["slice"] for s in found["slices"]}
    known = result(capsys, "evaluate", nlp, "--data", "reviews", "--set", "size=200", "--json")
    made = result(capsys, "prepare", "reviews", "-o", tmp_path / "set", "--set", "size=200", "--json")
    assert known["n"] == made["test"]


def test_evaluate_compares_on_what_is_new_to_both(capsys, made, bundle, tmp_path):
    code, out, err = within(capsys, "evaluate", bundle, "--data", made[0].path, "--champion", bundle)
    assert code == 0, err
    n = len(made[0].label_indices("test"))
    assert f"on {n} items new to both" in out
    assert "difference +0.0000" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "steel"], "a class that the model does not have: unknown 'crazing'"),
        (["--data", "shapess"], "did you mean 'shapes'?"),
        (["--data", "shapes", "--set", "epochs=2"], "evaluate: --set: unknown 'epochs'"),
    ],
)
def test_evaluate_says_what_does_not_fit(capsys, bundle, arguments, words):
    code, out, err = within(capsys, "evaluate", bundle, *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_all_items_of_the_training_set_are_a_refusal(capsys, made, bundle, tmp_path):
    own = folder_of(made[0], "train", tmp_path / "own")
    code, _, err = within(capsys, "evaluate", bundle, "--data", own)
    assert code == 2
    assert f"was trained on all {len(made[0].label_indices('train'))} items" in err


def test_export_wants_a_checkpoint_and_its_data(capsys, made, tmp_path):
    data, checkpoint, _ = made
    code, _, err = within(capsys, "export", data.path, "--data", data.path, "-o", tmp_path / "x")
    assert (code, "so it is no checkpoint" in err) == (2, True)
    other = datasets.images(tmp_path / "other", seed=3)
    code, _, err = within(capsys, "export", checkpoint, "--data", other.path, "-o", tmp_path / "x")
    assert (code, "was trained on" in err) == (2, True)
    assert not (tmp_path / "x").exists()


def test_predict_writes_all_and_ends_with_2_when_something_could_not_be_read(capsys, tmp_path):
    bundle = make_bundle("cv", tmp_path / "cv")
    (tmp_path / "parts").mkdir()
    items = make_items("cv", 3)
    for i, item in enumerate(items):
        (tmp_path / "parts" / f"{i}.png").write_bytes(item)
    code, out, _ = within(capsys, "predict", bundle, tmp_path / "parts", "-o", tmp_path / "a.csv")
    assert (code, out) == (0, f"{tmp_path / 'a.csv'}: 3 answers by cv\n")
    (tmp_path / "parts" / "1.png").write_bytes(b"x")
    code, out, err = within(capsys, "predict", bundle, tmp_path / "parts", "--json")
    assert code == 2
    lines = [json.loads(line) for line in out.splitlines()]
    assert ["error" in line for line in lines] == [False, True, False]
    assert "1.png: not an image (1 bytes)" in err
    assert "error: predict: 1 of 3 items could not be read" in err
    expected = bundles.load(bundle).predict([items[0], items[2]])
    found = [list(line["probabilities"].values()) for line in lines if "error" not in line]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("target", ["no-folder/a.csv", "a.txt"])
def test_predict_says_where_it_cannot_write(capsys, tmp_path, target):
    bundle = make_bundle("nlp", tmp_path / "nlp")
    (tmp_path / "no-folder").write_text("a file")
    code, out, err = within(capsys, "predict", bundle, "--text", "fine film", "-o", tmp_path / target)
    assert (code, out) == (2, "")
    assert f"error: -o {tmp_path / target}: " in err


@pytest.mark.parametrize("family", ["cv", "defect", "nlp"])
def test_explore_counts_what_prepare_wrote_and_draws_it(capsys, tmp_path, family):
    data = datasets.of_family(family, tmp_path / "data")
    found = result(capsys, "explore", data.path, "-o", tmp_path / "a.png", "--json")
    assert found["counts"] == {split: dict(data.counts[split]) for split in data.counts}
    assert found["items"] == sum(len(data.label_indices(split)) for split in data.counts)
    assert ("words" in found, "mean" in found) == (family == "nlp", family != "nlp")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == 1200
    within(capsys, "explore", data.path, "-o", tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_explore_shows_names_as_they_are(capsys, tmp_path):
    with (tmp_path / "own.csv").open("w", newline="", encoding="utf-8") as f:
        rows = [
            (f"text {i} $a_b$ " + "word " * (i % 300), ["$x$", "[red]a[/red]", "数据", "y" * 60][i % 4]) for i in range(400)
        ]
        csv.writer(f).writerows([("text", "label"), *rows])
    code, out, err = within(capsys, "explore", tmp_path / "own.csv", "--family", "nlp", "-o", tmp_path / "a.png")
    assert code == 0, err
    assert all(name in out for name in ("$x$", "[red]a[/red]", "数据", "y" * 60))
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_a_data_set_to_judge_on_is_prepared_without_the_rest(tmp_path):
    from slipway.data.held_out import without

    data = datasets.texts(tmp_path / "texts")
    left_out = np.zeros(len(data.label_indices("test")), bool)
    left_out[::2] = True
    kept = without(data, left_out, tmp_path / "kept")
    assert kept.ids("test") == [i for i, out in zip(data.ids("test"), left_out, strict=True) if not out]
    assert kept.texts("test") == [t for t, out in zip(data.texts("test"), left_out, strict=True) if not out]
    assert Dataset.load(tmp_path / "kept", verify=True).labels == data.labels
    assert len(kept.label_indices("train")) == 0
