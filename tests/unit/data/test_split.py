"""Splits and fingerprints depend on content and seed alone."""

import io

import hypothesis.strategies as st
import numpy as np
from hypothesis import given
from PIL import Image

from slipway.data.split import assign, fingerprint, image_hash, pixels_hash, position, text_hash
from slipway.preprocess.image import decode
from tests.unit.data.pictures import encoded

FRACTIONS = {"train_fraction": 0.8, "validation_fraction": 0.1}
rows = st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.sampled_from("ab"), st.sampled_from(["train", "test"])))


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**31), st.floats(0.05, 0.6), st.floats(0.05, 0.3))
def test_the_split_is_where_the_hash_lies_between_the_fractions(digest, seed, train, validation):
    split = assign(digest, "", seed=seed, train_fraction=train, validation_fraction=validation)
    bounds = {"train": (0, train), "validation": (train, train + validation), "test": (train + validation, 1)}
    low, high = bounds[split]
    assert low <= position(digest, seed) < high


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**31))
def test_official_splits_are_kept_and_only_train_is_dealt_out(digest, seed):
    assert assign(digest, "test", seed=seed, **FRACTIONS) == "test"
    assert assign(digest, "validation", seed=seed, **FRACTIONS) == "validation"
    assert assign(digest, "train", seed=seed, **FRACTIONS) in ("train", "validation")


@given(rows, st.randoms())
def test_fingerprint_ignores_order_and_sees_every_change(items, random):
    shuffled = items.copy()
    random.shuffle(shuffled)
    found = fingerprint(["a", "b"], items)
    assert fingerprint(["a", "b"], shuffled) == found
    assert fingerprint(["b", "a"], items) != found
    if items:
        digest, label, split = items[0]
        assert fingerprint(["a", "b"], [(digest, "b" if label == "a" else "a", split), *items[1:]]) != found
        assert fingerprint(["a", "b"], items[1:]) != found


def test_the_fractions_are_met_on_many_items():
    splits = [assign(text_hash(str(i)), "", seed=7, **FRACTIONS) for i in range(20_000)]
    assert abs(splits.count("train") / 20_000 - 0.8) < 0.01
    assert abs(splits.count("validation") / 20_000 - 0.1) < 0.01
    official = [assign(text_hash(str(i)), "train", seed=7, **FRACTIONS) for i in range(20_000)]
    assert abs(official.count("train") / 20_000 - 8 / 9) < 0.01


def test_another_seed_deals_anew():
    first, second = ([assign(text_hash(str(i)), "", seed=seed, **FRACTIONS) for i in range(200)] for seed in (0, 1))
    assert first != second


def test_image_hash_is_of_the_pixels_not_of_the_file():
    png, bmp, webp = (decode(encoded(1, suffix=s, **o)) for s, o in (("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})))
    assert image_hash(png) == image_hash(bmp) == image_hash(webp) == pixels_hash(np.asarray(png))
    assert image_hash(png) != image_hash(decode(encoded(2)))
    gray = decode(encoded(1, mode="L"))
    assert image_hash(gray) == pixels_hash(np.asarray(gray)[:, :, None])


def test_image_hash_of_a_palette_image_sees_the_palette():
    red, blue = Image.new("P", (8, 8)), Image.new("P", (8, 8))
    red.putpalette([255, 0, 0])
    blue.putpalette([0, 0, 255])
    assert image_hash(red) != image_hash(blue)


def test_image_hash_is_taken_after_the_exif_turn():
    out = io.BytesIO()
    image = decode(encoded(1))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(out, "PNG", exif=exif)
    assert image_hash(decode(out.getvalue())) == image_hash(image.transpose(Image.Transpose.ROTATE_270))
