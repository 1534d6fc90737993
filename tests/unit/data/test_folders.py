"""The user's own folders."""

import re

import pytest

from slipway.data.folders import open_images, open_path
from slipway.errors import ConfigError, DataError
from tests.unit.data.pictures import encoded


def image(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(value))


def test_class_folders_are_labels_and_files_items(parts):
    (parts / ".cache").mkdir()
    (parts / "good" / ".hidden.png").write_bytes(b"")
    (parts / "good" / "notes.txt").write_text("n")
    image(parts / "good" / "nested" / "deep.jpg")
    raw = open_path(parts, family="defect")
    items = list(raw.items)
    assert raw.labels == ("good", "scratched")
    assert raw.name == "my-parts"
    assert len(items) == 61
    assert {i.label for i in items if i.source.startswith("good/")} == {"good"}
    assert {i.split for i in items} == {""}


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "test"), {"train", "test"}),
        (("train", "val"), {"train", "test"}),
        (("Train", "valid", "test"), {"train", "validation", "test"}),
    ],
)
def test_folders_of_splits_are_official(folders, splits, tmp_path):
    for i, folder in enumerate(folders):
        for label in ("a", "b"):
            image(tmp_path / folder / label / "1.png", i)
    raw = open_images(tmp_path)
    assert raw.labels == ("a", "b")
    assert {i.split for i in raw.items} == splits


def test_class_named_train_beside_others_is_a_class(tmp_path):
    for label in ("plane", "test", "train"):
        image(tmp_path / label / "1.png")
    assert open_images(tmp_path).labels == ("plane", "test", "train")


def test_empty_class_folder_is_refused_by_name(parts):
    (parts / "empty").mkdir()
    with pytest.raises(DataError, match=r"My Parts/empty: class folder without images"):
        open_images(parts)


def test_class_only_outside_train_is_refused(tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/c"):
        image(tmp_path / name / "1.png")
    with pytest.raises(DataError, match="class 'c' has no folder below train/"):
        open_images(tmp_path)


def test_images_without_class_folders_are_refused(tmp_path):
    image(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"holds images, such as 1.png, but no class folders; make a folder per class"):
        open_images(tmp_path)


@pytest.mark.parametrize(
    ("name", "family", "message"),
    [
        ("My Part", "cv", "does not exist; did you mean .*My Parts"),
        ("nowhere", "cv", "nowhere: does not exist$"),
        ("photo.png", "cv", r"unsupported data file '.png'; allowed: .csv, .tsv, .jsonl, .parquet, or a folder"),
        ("book.xlsx", "nlp", r"unsupported data file '.xlsx'"),
        ("My Parts", "nlp", r"is a folder; family nlp takes a table .*; did you mean .*My Parts/texts.csv"),
    ],
)
def test_path_that_cannot_be_used_says_what_can(name, family, message, parts, tmp_path):
    (tmp_path / "photo.png").write_bytes(encoded(0))
    (tmp_path / "book.xlsx").write_bytes(b"PK")
    (parts / "texts.csv").write_text("text,label\n")
    with pytest.raises(DataError, match=message):
        open_path(tmp_path / name, family=family)


def test_columns_of_a_folder_and_unknown_families_are_refused(parts):
    with pytest.raises(DataError, match="columns can be named for tables only"):
        open_path(parts, family="cv", label_column="label")
    with pytest.raises(DataError, match="columns can be named for tables only, such as a labels"):
        open_path(parts, family="cv", slice_columns=["camera"])
    with pytest.raises(ConfigError, match="did you mean 'cv'"):
        open_path(parts, family="cvs")


@pytest.mark.parametrize("header", ["image,label", "path,class", "File,Label", "label,filename"])
def test_labels_csv_in_a_folder_names_images_and_labels(header, tmp_path):
    for i in range(4):
        image(tmp_path / "pictures" / f"{i}.png", i)
    first = header.split(",")[0] != "label"
    rows = [f"pictures/{i}.png,{'ab'[i % 2]}" if first else f"{'ab'[i % 2]},pictures/{i}.png" for i in range(4)]
    (tmp_path / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    raw = open_path(tmp_path, family="cv")
    assert raw.labels == ("a", "b")
    assert [(i.source, i.label) for i in raw.items] == [(f"pictures/{i}.png", "ab"[i % 2]) for i in range(4)]
    assert list(raw.items)[3].content == encoded(3)
    assert re.fullmatch(r"[a-z0-9-]+", raw.name)


def test_image_missing_from_labels_csv_is_named_with_its_row(tmp_path):
    image(tmp_path / "1.png")
    (tmp_path / "labels.csv").write_text("image,label\n1.png,a\n2.png,b\n")
    with pytest.raises(DataError, match=r"labels.csv row 3: no image '2.png' below .*; paths are relative"):
        open_path(tmp_path, family="cv")


def test_columns_of_labels_csv_can_be_named(tmp_path):
    for i in range(2):
        image(tmp_path / f"{i}.png", i)
    (tmp_path / "table.csv").write_text("label,photo,kind\nx,0.png,a\ny,1.png,b\n")
    raw = open_path(tmp_path / "table.csv", family="cv", text_column="photo", label_column="kind")
    assert raw.labels == ("a", "b")
    with pytest.raises(
        DataError, match=r"no image column; name it, or call it image or path or file or filename; columns: label, photo"
    ):
        open_path(tmp_path / "table.csv", family="cv")


def test_further_columns_of_labels_csv_are_slices_of_the_images(tmp_path):
    for i in range(4):
        image(tmp_path / f"{i}.png", i)
    rows = [f"{i}.png,{'ab'[i % 2]},{'xxyy'[i]}" for i in range(4)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label,camera", *rows]) + "\n")
    raw = open_path(tmp_path, family="defect", slice_columns=["camera"])
    assert [(i.source, i.slices) for i in raw.items] == [(f"{i}.png", ("xxyy"[i],)) for i in range(4)]
