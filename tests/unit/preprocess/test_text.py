import json

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from slipway.errors import BundleError, DataError
from slipway.preprocess import restore
from slipway.preprocess.text import MAX_CHARS, EncoderPreprocess, TfidfPreprocess

WORDS = ["good", "film", "a", "good film", "ünï", "日本"]


@pytest.fixture
def tfidf():
    return TfidfPreprocess(WORDS, ngrams=2)


@pytest.fixture
def encoder():
    vocabulary = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "good": 4, "film": 5, "##s": 6}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return EncoderPreprocess(tokenizer.to_str(), max_tokens=6)


def test_words_and_pairs_are_counted_one_letter_words_too(tfidf):
    feeds = tfidf.encode(["A good film! GOOD.", b"nothing known"])
    assert feeds["ids"].tolist() == [[0, 1, 2, 3], [0, 0, 0, 0]]
    assert feeds["counts"].tolist() == [[2, 1, 1, 1], [0, 0, 0, 0]]
    assert feeds["ids"].dtype == np.int64
    assert feeds["counts"].dtype == np.float32


def test_padding_does_not_change_an_items_own_entries(tfidf):
    alone = tfidf.encode(["film"])
    together = tfidf.encode(["film", "a good film"])
    assert together["counts"][0, :1].tolist() == alone["counts"][0].tolist()
    assert together["counts"][0, 1:].sum() == 0


def test_empty_and_unknown_texts_and_empty_batches_have_a_shape(tfidf, encoder):
    assert tfidf.encode([""])["ids"].shape == (1, 1)
    assert encoder.encode([""])["input_ids"].tolist() == [[1, 2]]
    assert tfidf.encode([])["ids"].shape == (0, 1)
    assert encoder.encode([])["input_ids"].shape == (0, 1)


def test_words_of_other_scripts_are_words(tfidf):
    assert tfidf.encode(["ÜNÏ 日本"])["ids"][0].tolist() == [4, 5]


@pytest.mark.parametrize("kind", ["tfidf", "encoder"])
def test_str_and_utf8_bytes_are_the_same_text(kind, request):
    preprocess = request.getfixturevalue(kind)
    for name, value in preprocess.encode(["good films ünï"]).items():
        np.testing.assert_array_equal(value, preprocess.encode(["good films ünï".encode()])[name])


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (b"ok \xff", "item 1: not UTF-8 text: byte 0xff at position 3"),
        (np.zeros((2, 2, 3), np.uint8), "item 1: expected text, got pixels"),
        ("a" * (MAX_CHARS + 1), "item 1: text of 1000001 characters, allowed are 1000000"),
    ],
    ids=["not UTF-8", "pixels", "too long"],
)
def test_unusable_text_is_named_by_position(tfidf, item, words):
    with pytest.raises(DataError, match=words):
        tfidf.encode(["fine", item])


def test_encoder_pads_to_the_longest_of_the_batch_and_cuts_at_its_limit(encoder):
    feeds = encoder.encode(["good", "good films good film good"])
    assert feeds["input_ids"].tolist() == [[1, 4, 2, 0, 0, 0], [1, 4, 5, 6, 4, 2]]
    assert feeds["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0], [1] * 6]


@pytest.mark.parametrize("kind", ["tfidf", "encoder"])
def test_state_comes_back_and_a_newer_one_is_refused(kind, request, tmp_path):
    preprocess = request.getfixturevalue(kind)
    state = json.loads(json.dumps(preprocess.save(tmp_path)))
    back = restore(state, tmp_path)
    for name, value in preprocess.encode(["a good film", "films 日本"]).items():
        np.testing.assert_array_equal(value, back.encode(["a good film", "films 日本"])[name])
    with pytest.raises(BundleError, match="text preprocessing version 2"):
        restore(state | {"version": 2}, tmp_path)
