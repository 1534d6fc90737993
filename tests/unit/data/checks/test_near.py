"""Which items count as near duplicates, and which do not."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from slipway.data.checks.near_images import near_images
from slipway.data.checks.near_texts import near_texts

RNG = np.random.default_rng(0)


def photograph(seed, px=32):
    """Smooth blobs with some fine structure."""
    rng = np.random.default_rng(seed)
    image = sum(gaussian_filter(rng.normal(size=(px, px, 3)), (s, s, 0)) * s * 60 for s in (1, 3, 6))
    return np.clip(image + 128, 0, 255).astype(np.uint8)


SAME = {
    "mirrored": lambda image: image[:, ::-1],
    "shifted": lambda image: np.roll(image, (1, -1), (0, 1)),
    "gray": lambda image: np.repeat(image.mean(2, keepdims=True), 3, 2),
    "darker": lambda image: image * 0.6 + 10,
    "noisy": lambda image: np.clip(image + np.random.default_rng(9).normal(0, 4, image.shape), 0, 255),
    "shaded": lambda image: image * 0.5 + np.linspace(0, 100, 32)[:, None, None],
}


@pytest.mark.parametrize("change", SAME)
def test_changed_copy_of_a_photograph_is_found(change):
    images = [photograph(seed) for seed in range(40)]
    images.append(SAME[change](images[7]).astype(np.uint8))
    pairs = near_images([np.stack(images)], least=0.8)
    assert list(zip(pairs.a_P.tolist(), pairs.b_P.tolist(), strict=True)) == [(7, 40)]
    assert pairs.score_P[0] > 0.8


@pytest.mark.parametrize("px", [16, 48, 64])
def test_images_of_any_size_are_compared(px):
    images = np.stack([photograph(seed, px) for seed in (0, 1, 2, 0)])
    assert near_images([images[:2], images[2:]], least=0.8).b_P.tolist() == [3]


def test_flat_images_and_images_of_one_line_are_no_pairs():
    flat = [np.full((32, 32, 3), value, np.uint8) for value in (0, 128, 128, 255)]
    lines = []
    for seed in range(6):
        line = np.random.default_rng(seed).normal(90 + 10 * seed, 10, (32, 32, 3))
        line[:, 15:17] += 90
        lines.append(line.astype(np.uint8))
    assert len(near_images([np.stack(flat + lines)], least=0.8).a_P) == 0


def test_many_copies_stay_bounded():
    pairs = near_images([np.stack([photograph(1)] * 500)], least=0.8)
    assert len(pairs.a_P) <= 2 * 16 * 500
    assert {*pairs.a_P, *pairs.b_P} == set(range(500))


def test_texts_are_paired_as_counting_all_pairs_does():
    words = [f"w{i}" for i in range(60)]
    texts = [" ".join(RNG.choice(words, 30)) for _ in range(150)]
    for i in range(50):
        changed = texts[i].split()
        for place in RNG.integers(0, 30, i % 5):
            changed[place] = "other"
        texts.append(" ".join(changed))

    def shingles(text):
        framed = ["_", *text.split(), "_"]
        return set(pairwise(framed))

    sets = [shingles(text) for text in texts]
    expected = {
        (a, b): len(sets[a] & sets[b]) / len(sets[a] | sets[b])
        for a in range(200)
        for b in range(a + 1, 200)
        if len(sets[a] & sets[b]) >= 0.7 * len(sets[a] | sets[b])
    }
    pairs = near_texts(texts, least=0.7)
    found = dict(zip(zip(pairs.a_P.tolist(), pairs.b_P.tolist(), strict=True), pairs.score_P.tolist(), strict=True))
    assert len(expected) >= 30
    assert found == pytest.approx(expected, abs=1e-6)


def test_case_and_punctuation_do_not_tell_texts_apart_and_no_words_are_no_pair():
    texts = ["A fine film!", "a fine film", "a fine day", ":-)", ":-(", "…", "Łódź, größer", "łódź größer"]
    pairs = near_texts(texts, least=0.7)
    assert sorted(zip(pairs.a_P.tolist(), pairs.b_P.tolist(), strict=True)) == [(0, 1), (6, 7)]


@pytest.mark.parametrize("texts", [["!"], ["one"]])
def test_nothing_to_pair(texts):
    assert len(near_texts(texts, least=0.7).a_P) == 0
