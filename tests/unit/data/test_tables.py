"""The user's own tables of texts."""

import json

import pytest

from slipway.data.folders import open_path
from slipway.data.tables import READERS, open_texts
from slipway.errors import DataError

ROWS = [('She said "yes", twice', "1"), ("naïve 漢字", "0"), ("plain", "1"), ("another one", "0")]


def write(folder, suffix):
    path = folder / f"Reviews 2024{suffix}"
    if suffix == ".parquet":
        import pandas

        pandas.DataFrame({"text": [t for t, _ in ROWS], "label": [int(x) for _, x in ROWS]}).to_parquet(path)
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps({"text": t, "label": int(x)}) for t, x in ROWS) + "\n\n", encoding="utf-8")
    elif suffix == ".tsv":
        path.write_text("text\tlabel\n" + "".join(f"{t}\t{x}\n" for t, x in ROWS), encoding="utf-8")
    else:
        quoted = "".join('"{}",{}\n'.format(t.replace('"', '""'), x) for t, x in ROWS)
        path.write_bytes(b"\xef\xbb\xbf" + f"text,label\n{quoted}".encode())
    return path


@pytest.mark.parametrize("suffix", READERS)
def test_every_format_gives_the_same_texts_and_labels(suffix, tmp_path):
    raw = open_path(write(tmp_path, suffix), family="nlp")
    assert [(i.content, i.label) for i in raw.items] == ROWS
    assert raw.labels == ("0", "1")
    assert raw.name == "reviews-2024"
    header = 1 if suffix in (".csv", ".tsv") else 0
    assert raw.items[0].source == f"Reviews 2024{suffix} row {1 + header}"


@pytest.mark.parametrize("suffix", READERS)
def test_missing_column_names_the_near_match(suffix, tmp_path):
    path = write(tmp_path, suffix)
    with pytest.raises(DataError, match=r"no column 'labels'; did you mean 'label'\? columns: text, label"):
        open_texts(path, label_column="labels")
    with pytest.raises(DataError, match=r"no column 'zzz'; columns: text, label"):
        open_texts(path, text_column="zzz")


def test_named_columns_win_over_usual_names(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,label,body,stars\na,b,first,low\nc,d,second,high\n")
    raw = open_texts(path, text_column="Body", label_column="stars")
    assert [(i.content, i.label) for i in raw.items] == [("first", "low"), ("second", "high")]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", b"text,label\nfine,a\ncaf\xe9,b\n", r"t.csv row 3: not UTF-8, byte 0xe9 at position 3; save it as UTF-8"),
        ("t.csv", "text,label\nfine,a\n".encode("utf-16"), r"t.csv row 1: not UTF-8, byte 0xff"),
        ("t.tsv", b"text\tlabel\ncaf\xe9\ta\n", r"t.tsv row 2: not UTF-8"),
        ("t.jsonl", b'{"text": "a", "label": 1}\n{"text": "\xe9", "label": 2}\n', r"t.jsonl row 2: not UTF-8"),
        ("t.csv", b"text,label\na,b\nc\n", r"t.csv row 3: 1 fields, the header has 2"),
        ("t.csv", b'text,label\n"a,b\n', r"t.csv row 2: unexpected end of data; check its quotes"),
        ("t.csv", b"text,label\n", r"t.csv: holds no rows"),
        ("t.csv", b"", r"t.csv: holds no rows"),
        ("t.csv", b"text,label\na,x\nb, \n", r"t.csv row 3: no label in column 'label'"),
        ("t.csv", b"body,label\na,x\n", r"no text column; name it, or call it text or sentence.*; columns: body, label"),
        ("t.csv", b"text;label\na;x\n", r"no text column.*columns: text;label"),
        ("t.csv", b"text,label\n" + b"".join(b"t,%d\n" % i for i in range(9)), r"'label' has 9 different values in 9 rows"),
        ("t.jsonl", b'{"text": "a", "label": 1}\n{"text": "b"}\n', r"t.jsonl row 2: no key 'label', which the first row has"),
        ("t.jsonl", b'{"text": "a", "label": 1}\nnope\n', r"t.jsonl row 2: not JSON"),
        ("t.jsonl", b"[1]\n", r"t.jsonl row 1: must be a JSON object, got list"),
        ("t.jsonl", b'{"text": "a", "label": null}\n', r"t.jsonl row 1: no label"),
        ("t.parquet", b"PAR0", r"t.parquet: not a Parquet file, or damaged"),
        ("t.xlsx", b"PK", r"unsupported"),
    ],
)
def test_broken_table_is_refused_with_its_row(name, data, message, tmp_path):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message) as info:
        open_path(tmp_path / name, family="nlp")
    assert "\n" not in str(info.value)


def test_long_text_is_read(tmp_path):
    (tmp_path / "t.csv").write_text("text,label\n" + "word " * 50_000 + ",a\nshort,b\n")
    assert len(open_texts(tmp_path / "t.csv").items[0].content) == 250_000


def test_booleans_and_missing_values_are_labels_as_written(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"text": "a", "label": true}\n{"text": null, "label": false}\n')
    raw = open_texts(path)
    assert raw.labels == ("false", "true")
    assert raw.items[1].content == ""


def test_slice_columns_are_carried_by_each_item_once_and_by_the_tables_name(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("text,label,Camera,site\na,x,3, north \nb,y,4,\n")
    raw = open_path(path, family="nlp", slice_columns=["site", "camera", "Camera"])
    assert raw.slice_columns == ("site", "Camera")
    assert [item.slices for item in raw.items] == [("north", "3"), ("", "4")]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("camra", r"no column 'camra'; did you mean 'camera'\? columns: text, label, camera, id, none"),
        ("id", r"slice column 'id' has 51 different values in 60 rows, allowed are 50; it looks like an id"),
        ("none", r"slice column 'none' is empty"),
    ],
)
def test_slice_column_that_cannot_be_used_is_refused(name, message, tmp_path):
    rows = "".join(f"text {i},{'xy'[i % 2]},{i % 3},{min(i, 50)},\n" for i in range(60))
    (tmp_path / "t.csv").write_text(f"text,label,camera,id,none\n{rows}")
    with pytest.raises(DataError, match=message):
        open_texts(tmp_path / "t.csv", slice_columns=["camera", name])
