"""One prepared data set for all: known, the user's own, or prepared already."""

import shutil

import pytest

from slipway.errors import ConfigError
from slipway.search import data
from slipway.search.candidates import asked
from slipway.store import files


def prepared(family, folder, here, **values):
    return data.prepared(family, asked(family, preset="quick", values=values, verb="compare"), folder, here)


def reviews(path, count=60):
    rows = [f"{'fine' if i % 2 else 'dull'} film {i},{'good' if i % 2 else 'bad'}" for i in range(count)]
    path.write_text("\n".join(["text,label", *rows, ""]))
    return path


def test_a_known_set_is_prepared_once_and_again_when_damaged(tmp_path, here):
    first = prepared("cv", tmp_path, here, dataset="shapes", size="60")
    inode = first.path.stat().st_ino
    assert prepared("cv", tmp_path, here, dataset="shapes", size="60").path.stat().st_ino == inode
    (first.path / "train.csv").write_text("")
    assert files.verify(prepared("cv", tmp_path, here, dataset="shapes", size="60").path)
    assert prepared("cv", tmp_path, here, dataset="shapes", size="70").path != first.path


def test_changed_own_data_are_prepared_anew(tmp_path, here):
    table = reviews(tmp_path / "reviews.csv")
    first = prepared("nlp", tmp_path / "data", here, data=str(table)).fingerprint
    assert prepared("nlp", tmp_path / "data", here, data=str(table)).fingerprint == first
    reviews(table, count=70)
    assert prepared("nlp", tmp_path / "data", here, data=str(table)).fingerprint != first


def test_a_prepared_set_is_taken_as_it_is_and_verified(texts, tmp_path, here):
    given = shutil.copytree(texts.path, tmp_path / "given")
    assert prepared("nlp", tmp_path / "data", here, data=str(given)).path == given
    assert not (tmp_path / "data").exists()
    with pytest.raises(ConfigError, match="is prepared for family nlp, not cv"):
        prepared("cv", tmp_path / "data", here, data=str(given))
