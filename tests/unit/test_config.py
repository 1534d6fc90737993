"""Records from YAML and from values: what is taken, and that every refusal says where in one line."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from slipway.config import configured, read_yaml, records
from slipway.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Part:
    name: str
    count: int | None = None


@dataclass(frozen=True, kw_only=True)
class Whole:
    ratio: float
    words: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def test_a_record_holds_texts_records_and_mappings():
    values = {"ratio": 1, "words": ["a", "b"], "parts": [{"name": "x"}, {"name": "y", "count": 2}], "labels": {"k": ["v", "w"]}}
    assert configured(Whole, values, where="w") == Whole(
        ratio=1.0, words=("a", "b"), parts=(Part(name="x"), Part(name="y", count=2)), labels={"k": ("v", "w")}
    )


def test_a_single_text_is_a_list_of_one():
    assert configured(Whole, {"ratio": 1, "words": "a", "labels": {"k": "v"}}, where="w") == Whole(
        ratio=1.0, words=("a",), labels={"k": ("v",)}
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([], "w: must be a table of names and values, got []"),
        ({}, "w: ratio is missing; needed are ratio"),
        ({"ratios": 1}, "w: unknown 'ratios'; did you mean 'ratio'? Known: labels, parts, ratio, words"),
        ({1: 1}, "w: unknown '1'. Known: labels, parts, ratio, words"),
        ({"ratio": "high"}, "w.ratio: must be a number, got 'high'"),
        ({"ratio": 1, "words": [1]}, "w.words: must be a text or a list of texts, got [1]"),
        ({"ratio": 1, "parts": {}}, "w.parts: must be a list, got {}"),
        ({"ratio": 1, "parts": [{"name": "x"}, "y"]}, "w.parts[1]: must be a table of names and values, got 'y'"),
        ({"ratio": 1, "parts": [{"count": 1}]}, "w.parts[0]: name is missing; needed are name"),
        ({"ratio": 1, "labels": ["k"]}, "w.labels: must be a table of texts, each with one or a list of them, got ['k']"),
        ({"ratio": 1, "labels": {"k": None}}, "w.labels: k: must be a text or a list of texts, got None"),
    ],
)
def test_a_refusal_says_where(values, says):
    with pytest.raises(ConfigError) as caught:
        configured(Whole, values, where="w")
    assert str(caught.value) == says


def test_a_list_of_records_has_positions():
    assert records(Part, [{"name": "x"}], where="parts.yaml") == (Part(name="x"),)
    with pytest.raises(ConfigError, match=r"^parts.yaml\[1\]\.name: must be text, got 3$"):
        records(Part, [{"name": "x"}, {"name": 3}], where="parts.yaml")
    with pytest.raises(ConfigError, match=r"^parts.yaml: must be a list, got None$"):
        records(Part, None, where="parts.yaml")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"^--file .*a.yaml: cannot be read \(No such file or directory\)$"),
        (b"a: 1\nb: [", r"^--file .*a.yaml: not YAML \(line 2: .*found '<stream end>'\)$"),
        (b"a: \xff", r"^--file .*a.yaml: cannot be read \(.*can't decode byte 0xff.*\)$"),
        (b"a: \x00", r"^--file .*a.yaml: not YAML \(.*special characters.*\)$"),
    ],
)
def test_a_file_that_is_no_yaml_is_one_line(tmp_path, content, says):
    path = tmp_path / "a.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        read_yaml(path, what=f"--file {path}")
