"""What a model is called by: the registry's names, or a place."""

import shutil
import sys

import pytest

from slipway import references, settings
from slipway.errors import BundleError, NotFoundError
from slipway.store import files
from slipway.tracking import client, registry
from tests.helpers.bundles import make_bundle, make_release


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    made = make_release(make_bundle("cv", root / "bundle"), root / "release")
    digest = files.read_manifest(made).digest
    shutil.copytree(made, root / "models" / "cv-parts" / digest)
    return root / "models" / "cv-parts" / digest


@pytest.fixture(scope="module")
def database(tmp_path_factory, release):
    """MLflow's database with two versions of cv-parts, the first the champion."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    own = settings.load({"SLIPWAY_HOME": str(path.parent)})
    for digest, champion in ((release.name, None), ("b" * 64, release.name)):
        registry.register(
            "cv-parts",
            release_uri=str(release.with_name(digest)),
            release_digest=digest,
            bundle_digest="c" * 64,
            run_id="r",
            accuracy=0.5,
            expected_champion=champion,
            settings=own,
        )
        if champion is None:
            registry.promote("cv-parts", settings=own)
    return path


@pytest.fixture
def own(home, database):
    home.mkdir()
    shutil.copy(database, home / "mlflow.db")
    return settings.load()


@pytest.mark.parametrize(
    ("text", "version"),
    [("cv-parts", 1), ("cv-parts@champion", 1), ("cv-parts:1", 1), ("cv-parts@challenger", 2), ("cv-parts:2", 2)],
)
def test_a_name_means_a_registered_version(own, release, text, version):
    found = references.find(text, own)
    assert (found.name, found.version, str(found)) == ("cv-parts", version, f"cv-parts:{version}")
    assert found.source == str(release if version == 1 else release.with_name("b" * 64))


def test_a_reference_is_opened_whatever_it_is_called_by(own, release, tmp_path, monkeypatch):
    shutil.copytree(release, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    texts = ("cv-parts", str(release), "./mine", "mine", (tmp_path / "mine").as_uri())
    opened = [references.open_model(text, own) for text in texts]
    assert {bundle.digest for _, bundle in opened} == {files.read_manifest(release.parents[2] / "bundle").digest}
    assert [str(found) for found, _ in opened] == ["cv-parts:1", "cv-parts", "mine", "mine", "mine"]


def test_a_place_needs_no_mlflow(release, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    client.connect.cache_clear()
    assert references.find(str(release), settings.load()).name == "cv-parts"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cv-part", "did you mean 'cv-parts'? Known: cv-parts"),
        ("cv-parts:7", "unknown '7'. Known: 1, 2"),
        ("cv-parts@champoin", "no version has the alias 'champoin'. Versions: 1 champion, 2 challenger"),
        ("s/folder/bundel", "no such directory; did you mean"),
        ("folder", "the folder folder has no MANIFEST.json"),
    ],
)
def test_a_missing_model_says_what_there_is(own, tmp_path, monkeypatch, text, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "s" / "folder" / "bundle").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError) as raised:
        references.find(text, own)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_empty_registry_says_how_to_start(home):
    with pytest.raises(NotFoundError, match="no model is registered yet; make one: slipway run cv"):
        references.find("cv-parts", settings.load())


@pytest.mark.parametrize(
    ("holds", "words"), [("model.json", "slipway export .*/it --data DATASET -o DIR"), ("x", "no bundle.json")]
)
def test_another_artifact_is_no_model(tmp_path, holds, words):
    with files.atomic_dir(tmp_path / "it") as scratch:
        (scratch / holds).write_text("{}")
    with pytest.raises(BundleError, match=words):
        references.open_model(str(tmp_path / "it"), settings.load())
