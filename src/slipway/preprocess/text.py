"""Texts to token ids: TF-IDF counts, and the sub-word tokenisers of Hugging Face encoders."""

# N items, L tokens of the longest item in the batch

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from slipway.errors import BundleError, DataError
from slipway.preprocess import Raw

VERSION = 1
MAX_CHARS = 1_000_000
"""Longer texts are refused: tokenising one of a million characters already takes a second."""


def as_text(raw: Raw) -> str:
    """One item as text.

    Raises: DataError: bytes that are not UTF-8, pixels, or longer than MAX_CHARS.
    """
    if isinstance(raw, bytes):
        try:
            raw = raw.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise DataError(f"not UTF-8 text: byte 0x{raw[exc.start]:02x} at position {exc.start}") from exc
    if not isinstance(raw, str):
        raise DataError("expected text, got pixels")
    if len(raw) > MAX_CHARS:
        raise DataError(f"text of {len(raw)} characters, allowed are {MAX_CHARS}; send less")
    return raw


def lengths(feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Tokens [N] of encoded texts, special ones included; of TF-IDF the distinct terms that the vocabulary has."""
    found: NDArray[np.int64] = (feeds["attention_mask" if "attention_mask" in feeds else "counts"] > 0).sum(axis=1)
    return found


def _texts(items: Sequence[Raw]) -> list[str]:
    texts = []
    for i, raw in enumerate(items):
        try:
            texts.append(as_text(raw))
        except DataError as exc:
            raise DataError(f"item {i}: {exc}") from exc
    return texts


class TfidfPreprocess:
    """Lower-case words and word pairs, counted: `ids` int64 [N, L] and `counts` float32 [N, L], padded with 0."""

    kind: ClassVar[str] = "tfidf"
    input_name: ClassVar[str] = "text"
    word = re.compile(r"\w+")
    """One-letter words count: they were worth half a point on SST-2."""

    def __init__(self, vocabulary: Sequence[str], ngrams: int = 2) -> None:
        """`vocabulary`: terms in the order of the model's rows; a pair is two words with one blank. `ngrams`: 1 or 2."""
        self.vocabulary = list(vocabulary)
        self.ngrams = ngrams
        self._ids = {term: i for i, term in enumerate(self.vocabulary)}

    @classmethod
    def terms(cls, text: str, ngrams: int) -> list[str]:
        """Words, and word pairs when `ngrams` is 2, in order of appearance."""
        words = cls.word.findall(text.lower())
        return words if ngrams == 1 else words + [f"{a} {b}" for a, b in pairwise(words)]

    def encode(self, items: Sequence[Raw]) -> dict[str, NDArray[Any]]:
        """See the class and `Preprocess.encode`; terms outside the vocabulary are left out."""
        rows = []
        for text in _texts(items):
            known = (self._ids[t] for t in self.terms(text, self.ngrams) if t in self._ids)
            rows.append(sorted(Counter(known).items()))  # a fixed order of summands: equal texts, equal bits
        width = max([1, *(len(r) for r in rows)])
        ids, counts = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.float32)
        for i, row in enumerate(rows):
            if row:
                ids[i, : len(row)], counts[i, : len(row)] = zip(*row, strict=True)
        return {"ids": ids, "counts": counts}

    def save(self, directory: Path) -> dict[str, Any]:
        """See `Preprocess.save`; the vocabulary goes to vocabulary.json."""
        (directory / "vocabulary.json").write_text(json.dumps(self.vocabulary, ensure_ascii=False), encoding="utf-8")
        return {"kind": self.kind, "version": VERSION, "ngrams": self.ngrams}

    @classmethod
    def restore(cls, state: Mapping[str, Any], directory: Path) -> "TfidfPreprocess":
        """See `slipway.preprocess.restore`."""
        _check_version(state, directory)
        return cls(json.loads((directory / "vocabulary.json").read_text(encoding="utf-8")), int(state["ngrams"]))


class EncoderPreprocess:
    """A Hugging Face fast tokeniser: `input_ids` and `attention_mask`, int64 [N, L], padded to the longest of the batch."""

    kind: ClassVar[str] = "wordpiece"
    input_name: ClassVar[str] = "text"

    def __init__(self, tokenizer_json: str, max_tokens: int, pad_id: int = 0) -> None:
        """`tokenizer_json`: the text of tokenizer.json; `max_tokens`: longer texts are cut, special tokens included."""
        from tokenizers import Tokenizer  # 0.1 s that image bundles need not pay

        self.tokenizer_json, self.max_tokens, self.pad_id = tokenizer_json, max_tokens, pad_id
        self._tokenizer = Tokenizer.from_str(tokenizer_json)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def encode(self, items: Sequence[Raw]) -> dict[str, NDArray[Any]]:
        """See the class and `Preprocess.encode`."""
        rows = [e.ids for e in self._tokenizer.encode_batch(_texts(items))]
        width = max([1, *(len(r) for r in rows)])
        ids = np.full((len(rows), width), self.pad_id, np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
        return {"input_ids": ids, "attention_mask": mask}

    def save(self, directory: Path) -> dict[str, Any]:
        """See `Preprocess.save`; the tokeniser goes to tokenizer.json."""
        (directory / "tokenizer.json").write_text(self.tokenizer_json, encoding="utf-8")
        return {"kind": self.kind, "version": VERSION, "max_tokens": self.max_tokens, "pad_id": self.pad_id}

    @classmethod
    def restore(cls, state: Mapping[str, Any], directory: Path) -> "EncoderPreprocess":
        """See `slipway.preprocess.restore`."""
        _check_version(state, directory)
        text = (directory / "tokenizer.json").read_text(encoding="utf-8")
        return cls(text, int(state["max_tokens"]), int(state["pad_id"]))


def _check_version(state: Mapping[str, Any], directory: Path) -> None:
    if state.get("version") != VERSION:
        raise BundleError(f"{directory}: text preprocessing version {state.get('version')}, this code knows {VERSION}")
