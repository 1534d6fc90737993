"""Disturbances of raw items: every one does nothing at no strength, more at more, and the same again for the same item."""

import io
from difflib import SequenceMatcher

import numpy as np
import pytest
from PIL import Image

from slipway.evaluation.corruptions import CORRUPTIONS, Picture, disturbed, opened
from slipway.preprocess.image import ImagePreprocess, decode
from slipway.preprocess.text import TfidfPreprocess
from tests.helpers.bundles import image, png

IMAGES = [name for name, corruption in CORRUPTIONS.items() if corruption.kind == "image"]
TEXTS = [name for name, corruption in CORRUPTIONS.items() if corruption.kind == "text"]
COLOUR, GRAY = (ImagePreprocess(height_px=32, width_px=32, channels=channels) for channels in (3, 1))
WORDS = TfidfPreprocess(["a"])
SENTENCES = [
    "The plot, as they say, IS thin; Yet its actors give all they have -- and more than once it works.",
    "Überraschend GUT! Ein Film, den man nicht vergißt: 漢字 and naïve 🙂 remain, as ever.",
]


def pictures(count=6, px=40, channels=3):
    rng = np.random.default_rng(5)
    return [png(image(rng, px, channels)) for _ in range(count)]


def change(name, severity, raw, preprocess):
    """Mean difference of gray levels, or 1 - the share of characters that match."""
    sent = disturbed(name, severity, opened(raw, preprocess), 7)
    if CORRUPTIONS[name].kind == "text":
        return 1 - SequenceMatcher(None, raw.decode(), sent.decode(), autojunk=False).ratio()
    return np.abs(preprocess(raw).astype(float) - preprocess(sent)).mean()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_more_severe_disturbs_more(name):
    raws, preprocess = (pictures(), COLOUR) if name in IMAGES else ([s.encode() for s in SENTENCES], WORDS)
    assert len(CORRUPTIONS[name].severities) in (3, 4, 5)
    changes = [np.mean([change(name, s, raw, preprocess) for raw in raws]) for s in CORRUPTIONS[name].severities]
    assert changes == sorted(changes)
    assert changes[-1] > changes[0]


@pytest.mark.parametrize("name", [n for n, c in CORRUPTIONS.items() if c.none is not None])
def test_no_strength_changes_nothing(name):
    for raw, preprocess in [(pictures(1)[0], COLOUR)] if name in IMAGES else [(s.encode(), WORDS) for s in SENTENCES]:
        assert change(name, CORRUPTIONS[name].none, raw, preprocess) == 0


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_item_is_disturbed_by_its_own_seed(name):
    raw, preprocess = (pictures(1)[0], COLOUR) if name in IMAGES else (SENTENCES[0].encode(), WORDS)
    severity = CORRUPTIONS[name].severities[1]
    first, again, other = (disturbed(name, severity, opened(raw, preprocess), seed) for seed in (1, 1, 2**64 - 1))
    assert first == again
    if name in ("noise", "typos", "joined words"):
        assert first != other


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "1", "CMYK", "I;16"])
def test_images_of_every_mode_keep_their_size_and_become_what_clients_send(name, mode):
    pixels = Image.fromarray(image(np.random.default_rng(0), 50, 3)[:30])
    source = Image.fromarray(np.asarray(pixels.convert("L"), np.uint16) * 257) if mode == "I;16" else pixels.convert(mode)
    buffer = io.BytesIO()
    source.save(buffer, "TIFF")
    gray = mode in ("L", "LA", "1", "I;16")
    for preprocess, expected in ((COLOUR, "L" if gray else "RGB"), (GRAY, "L")):
        sent = disturbed(name, CORRUPTIONS[name].severities[-1], opened(buffer.getvalue(), preprocess), 3)
        assert sent.startswith(b"\xff\xd8" if name == "jpeg" else b"BM")
        assert (decode(sent).size, decode(sent).mode) == ((50, 30), expected)


@pytest.mark.parametrize("name", ["noise", "blur", "rotation", "brighter"])
def test_a_strength_means_the_same_for_a_small_and_a_large_image(name):
    rng = np.random.default_rng(1)
    small = [Image.fromarray(image(rng, 32, 1)[:, :, 0]) for _ in range(8)]
    severity = CORRUPTIONS[name].severities[2]
    sizes = {}
    for px in (32, 96, 700):
        raws = [png(np.asarray(s.resize((px, px), Image.Resampling.BICUBIC))[:, :, None]) for s in small]
        sizes[px] = np.mean([change(name, severity, raw, GRAY) for raw in raws])
    assert sizes[96] == pytest.approx(sizes[32], rel=0.25)
    assert sizes[700] == pytest.approx(sizes[96], rel=0.1)


def test_noise_has_the_deviation_it_says_at_the_models_size():
    for height, width in ((32, 32), (20, 30), (96, 96), (200, 300), (1000, 700)):
        flat = png(np.full((height, width, 3), 128, np.uint8))
        sent = [COLOUR(disturbed("noise", 12, opened(flat, COLOUR), seed)).astype(float) for seed in range(4)]
        assert np.mean(sent) == pytest.approx(128, abs=1)
        if height > 20:  # a smaller one is smoothed as it grows
            assert np.std(sent) == pytest.approx(12, rel=0.2), (height, width)


def test_a_stop_doubles_the_light():
    gray = Picture(Image.fromarray(np.full((8, 8), 100, np.uint8)), 8)
    levels = {s: np.asarray(decode(disturbed("brighter", s, gray, 0)))[0, 0] for s in (1, 2, 5)}
    assert levels == {1: 137, 2: 188, 5: 255}  # 100 * 2 ** (stops / 2.2)
    assert np.asarray(decode(disturbed("darker", 1, gray, 0)))[0, 0] == 73


def test_contrast_is_taken_around_the_mean():
    two = Picture(Image.fromarray(np.repeat(np.array([[50, 150]], np.uint8), 2, axis=0)), 8)
    assert np.asarray(decode(disturbed("contrast", 40, two, 0))).tolist() == [[70, 130]] * 2


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("size", [(1, 1), (3, 1), (1, 66_000)])
def test_images_of_extreme_shape_are_disturbed_without_complaint(name, size):
    item = opened(png(np.full((*size, 3), 9, np.uint8)), COLOUR)
    assert COLOUR(disturbed(name, CORRUPTIONS[name].severities[-1], item, 0)).shape == (32, 32, 3)


def test_large_images_are_sent_at_four_times_the_models_size():
    item = opened(png(np.zeros((600, 900, 1), np.uint8)), COLOUR)
    assert item.image.size == (192, 128)
    assert decode(disturbed("blur", 1, item, 0)).size == (192, 128)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("text", ["?!", "a", " \t ", "", "_", "é\u0301\u200d", "word " * 3000])
def test_odd_texts_stay_texts(name, text):
    sent = disturbed(name, 100, text, 0).decode()
    assert bool(sent.strip()) == bool(text.strip())


def test_texts_are_disturbed_as_their_names_say():
    text = "Say it, Ms. O'Neil: well-made, isn't it?"
    assert {name: disturbed(name, 100, text, 4).decode() for name in TEXTS if name != "typos"} == {
        "lower case": "say it, ms. o'neil: well-made, isn't it?",
        "upper case": "SAY IT, MS. O'NEIL: WELL-MADE, ISN'T IT?",
        "first letters": "Say It, Ms. O'Neil: Well-Made, Isn'T It?",
        "no punctuation": "Say it Ms ONeil wellmade isnt it",
        "joined words": "Sayit,Ms.O'Neil:well-made,isn'tit?",
    }


def test_a_typo_is_one_slip_behind_the_first_letter():
    typos = {disturbed("typos", 100, "Wort", seed).decode() for seed in range(200)}
    swapped, dropped, doubled = {"Wrot", "Wotr"}, {"Wrt", "Wot"}, {"Woort", "Worrt"}
    keys = {"Wirt", "Wprt", "Wkrt", "Wlrt", "Woet", "Wott", "Wodt", "Woft"}
    assert typos == swapped | dropped | doubled | keys
    assert disturbed("typos", 100, "it is", 1) == b"it is"


def test_stronger_typos_are_the_weaker_ones_and_more():
    words = [f"some{i:03}word" for i in range(400)]
    hit = [
        {i for i, w in enumerate(disturbed("typos", s, " ".join(words), 9).decode().split()) if w != words[i]}
        for s in (10, 25, 50, 100)
    ]
    assert hit[0] < hit[1] < hit[2] < hit[3]
    assert len(hit[0]) == pytest.approx(40, abs=20)
    assert len(hit[3]) == 400
