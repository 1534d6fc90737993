"""Explanations find what an answer rests on, and nothing where it rests on nothing."""

import dataclasses

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway.errors import ConfigError, DataError
from slipway.explain import text as texts
from slipway.explain.deletion import deletion
from slipway.explain.explanation import LEAST, explain, log_odds
from slipway.explain.image import CELLS
from slipway.explain.picture import STOPS, overlay, spans
from slipway.export.onnx import export
from slipway.training.train import train
from tests.helpers import datasets
from tests.helpers.bundles import LABELS, WORDS, image, make_bundle, make_items
from tests.helpers.training import config, trained


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Of a family, made once."""
    made = {}

    def of(family):
        if family not in made:
            made[family] = bundles.load(make_bundle(family, tmp_path_factory.mktemp(family) / "bundle"), threads=1)
        return made[family]

    return of


class Corner:
    """An engine that looks at the upper left quarter of an image only: the brighter, the surer of the second class."""

    outputs = ()

    def run(self, _outputs, feeds):
        bright_N = feeds["image"][:, :16, :16].mean(axis=(1, 2, 3)) / 255 * 8 - 4
        second_N = 1 / (1 + np.exp(-bright_N))
        return [np.stack([1 - second_N, second_N, np.zeros_like(second_N)], axis=1).astype(np.float32)]


def corner(bundle):
    return dataclasses.replace(bundle("cv"), _session=Corner())


def test_the_map_is_hot_where_the_model_looks_and_nowhere_else(bundle):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16, :16] = 255
    (told,) = explain(corner(bundle), [pixels])
    half = CELLS // 2
    assert (told.label, told.heatmap_HW.dtype, told.heatmap_HW.shape) == (LABELS["cv"][1], np.float32, (CELLS, CELLS))
    assert told.heatmap_HW.max() == 1
    assert told.heatmap_HW[:half, :half].min() > 0.3
    assert not told.heatmap_HW[half + 1 :].any()
    assert not told.heatmap_HW[:, half + 1 :].any()
    # A patch within the quarter covers a quarter of it by the mean, a quarter of white: 8 * 1/4 * 3/4 of log-odds.
    assert told.largest == pytest.approx(1.5, rel=0.01)


def test_a_part_that_speaks_against_the_class_is_cold(bundle):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16, :16] = 255
    (told,) = explain(corner(bundle), [pixels], target=LABELS["cv"][0])
    assert told.largest == 0
    assert not told.heatmap_HW.any()


@pytest.mark.parametrize("family", ["cv", "defect"])
@pytest.mark.parametrize("value", [0, 255])
def test_an_image_of_one_colour_has_an_empty_map(family, value, bundle):
    model = bundle(family)
    (told,) = explain(model, [np.full(model.preprocess.shape, value, np.uint8)])
    assert not told.heatmap_HW.any()
    assert told.largest < 1e-4


def test_attributions_of_a_linear_model_are_what_each_word_adds(bundle):
    model = bundle("nlp")
    text = "Great — the   plot, dull!"
    (told,) = explain(model, [text])
    assert [t.text for t in told.tokens] == ["Great", "the", "plot", "dull"]
    assert all(text[t.start : t.end] == t.text for t in told.tokens)
    weights = np.random.default_rng(0).normal(0, 0.5, (2 * len(WORDS) - 1, 2)).astype(np.float32)
    towards = weights[:, told.index] - weights[:, 1 - told.index]
    assert told.attributions_T == pytest.approx([towards[WORDS.index(w)] for w in ("great", "the", "plot", "dull")], abs=1e-4)
    assert told.attributions_T.dtype == np.float32


def test_an_encoder_is_explained_by_the_word_that_tells(tmp_path):
    data = datasets.texts(tmp_path / "data", count=160)
    recipe = config("hf_encoder", tmp_path, epochs=15, learning_rate=0.001)
    model = bundles.load(export(train(data, recipe, tmp_path / "checkpoint"), data, tmp_path / "bundle"), threads=1)
    (told,) = explain(model, ["The film was a great story!"])
    assert (told.label, [t.text for t in told.tokens]) == ("good", ["The", "film", "was", "a", "great", "story"])
    assert told.attributions_T.argmax() == 4
    assert told.attributions_T[4] > 1


@pytest.mark.parametrize(("text", "count"), [("", 0), ("  …!? ", 0), ("film", 1), ("don't", 1), ("ß\x00 İstanbul 😀 naïve", 3)])
def test_short_and_odd_texts_are_explained(text, count, bundle):
    (told,) = explain(bundle("nlp"), [text])
    assert len(told.tokens) == len(told.attributions_T) == count
    assert "".join(piece for piece, _ in spans(text, told)) == text


@pytest.mark.parametrize("words", [1000, 150_000])
def test_a_long_text_costs_a_bounded_number_of_answers(words):
    text = "word " * words
    tokens = texts.split(text)
    assert 0 < len(tokens) <= texts.MAX_TOKENS
    assert len(tokens) * len(text) <= texts.MAX_READ_CHARS
    assert texts.without(text, list(tokens)).strip() == ""


def test_sure_answers_still_have_log_odds():
    answers_NK = np.array([[1, 1e-9], [1, 0], [0, 1]], np.float32)
    expected = [np.log(1e9), -np.log(LEAST), np.log(LEAST)]
    assert log_odds(answers_NK, 0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("family", "bad"), [("cv", b"no image"), ("cv", "text"), ("nlp", b"\xff\xfe"), ("nlp", np.zeros((2, 2, 3), np.uint8))]
)
def test_an_unreadable_item_is_named(family, bad, bundle):
    with pytest.raises(DataError, match=r"^item 1: "):
        explain(bundle(family), [*make_items(family, 1), bad])


def test_an_unknown_target_is_refused_with_the_near_one(bundle):
    with pytest.raises(ConfigError, match="did you mean 'square'"):
        explain(bundle("cv"), [], target="squar")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("px", [8, 300])
def test_an_overlay_is_warm_where_the_map_is_hot(channels, px):
    heatmap = np.zeros((CELLS, CELLS), np.float32)
    heatmap[0, 0] = 1
    picture = overlay(image(np.random.default_rng(0), px, channels) // 4, heatmap)
    assert picture.mode == "RGB"
    assert min(picture.size) >= 256
    seen = np.asarray(picture).astype(int)
    assert seen[2, 2, 0] > seen[2, 2, 2] + 40
    assert seen[-3, -3, 0] < seen[-3, -3, 2] + 10


def test_the_colour_map_gets_lighter_all_the_way():
    lightness = [0.2126 * r**2.2 + 0.7152 * g**2.2 + 0.0722 * b**2.2 for r, g, b in STOPS]
    assert lightness == sorted(lightness)


LEARNT = {"cv": ("shapes", "fast_cnn", 800, 4), "nlp": ("reviews", "tfidf_logreg", 1000, 2)}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """Bundle and test items of a family, trained once."""
    made = {}

    def of(family):
        if family not in made:
            name, architecture, size, epochs = LEARNT[family]
            data, _, out = trained(name, architecture, tmp_path_factory.mktemp(family), size=size, epochs=epochs)
            made[family] = bundles.load(out, threads=1), data.raw("test")[:80]
        return made[family]

    return of


@pytest.mark.parametrize(("family", "method"), [("cv", "cam"), ("cv", "occlusion"), ("nlp", "leave_one_out")])
def test_removing_what_is_marked_costs_more_than_random_parts(family, method, learnt):
    model, items = learnt(family)
    fall = deletion(model, items, explain(model, items, method=method))
    more = fall.marked_N - fall.random_N
    assert more.mean() > 3 * more.std(ddof=1) / np.sqrt(len(more))


def test_a_map_in_the_graph_is_preferred_and_has_its_resolution(learnt):
    model, items = learnt("cv")
    (told,) = explain(model, items[:1])
    assert told.method == "cam"
    assert told.heatmap_HW.shape == model.heatmap(model.preprocess.encode(items[:1])).shape[2:]
    assert (told.heatmap_HW.min() >= 0, told.heatmap_HW.max()) == (True, 1)


def test_a_method_that_a_model_has_not_is_refused(bundle):
    with pytest.raises(ConfigError, match=r"method of a tiny_cv: unknown 'cam'.*auto, occlusion"):
        explain(bundle("cv"), [], method="cam")
