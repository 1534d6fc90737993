"""`slipway predict --url`: what a server answers looks as what is answered here."""

import pytest

from slipway.server.app import create_app
from slipway.server.models import served_model
from tests.helpers.bundles import FAMILIES, make_items, make_releases
from tests.helpers.command import within
from tests.helpers.servers import running

TOKEN = "t0ken"


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    return make_releases(tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="module")
def url(releases):
    models = [served_model(family, str(path)) for family, path in releases.items()]
    with running(create_app(models, token=TOKEN)) as http:
        yield str(http.base_url)


@pytest.fixture(autouse=True)
def token(monkeypatch):
    monkeypatch.setenv("SLIPWAY_SERVER_TOKEN", TOKEN)


def given(family, folder):
    folder.mkdir()
    if family == "nlp":
        (folder / "a.txt").write_bytes(b"fine film\n\xff\nbad plot\n")
        (folder / "b.csv").write_text("words\nx\n")
    for i, item in enumerate(make_items(family, 5) if family != "nlp" else []):
        (folder / f"{i}.png").write_bytes(item if i != 2 else b"no image")
    return folder


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "json"])
def test_files_and_error_lines_are_those_of_a_local_model(capsys, releases, url, tmp_path, family, ending):
    folder = given(family, tmp_path / "in")
    here, there = tmp_path / f"here.{ending}", tmp_path / f"there.{ending}"
    local = within(capsys, "predict", releases[family], folder, "-o", here)
    remote = within(capsys, "predict", "--url", url, family, folder, "-o", there)
    assert local[0] == remote[0] == 2
    assert here.read_text() == there.read_text()
    assert remote[2] == local[2]
    assert remote[1] == local[1].replace("here", "there")


def test_texts_given_on_the_spot_are_answered_to_stdout(capsys, releases, url):
    arguments = ("--text", "fine film", "--text", "bad plot", "--json")
    local = within(capsys, "predict", releases["nlp"], *arguments)
    assert within(capsys, "predict", "nlp", "--url", url, *arguments) == local
    assert local[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nlq", "--text", "a"], 2, "did you mean 'nlp'?"),
        (["cv", "--text", "a"], 2, "the model takes images"),
        (["cv"], 2, "nothing to answer"),
        (["cv", "no-such.png"], 2, "no-such.png: no such file or folder"),
    ],
)
def test_a_mistake_is_the_users(capsys, url, arguments, code, words):
    found, out, err = within(capsys, "predict", "--url", url, *arguments)
    assert (found, out) == (code, "")
    assert words in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_wrong_token_is_the_users_mistake(capsys, url, monkeypatch):
    monkeypatch.setenv("SLIPWAY_SERVER_TOKEN", "other")
    code, _, err = within(capsys, "predict", "--url", url, "nlp", "--text", "a")
    assert (code, "authorization: needs `Bearer TOKEN`" in err) == (2, True)


def test_no_server_is_told_soon_and_is_ours(capsys, monkeypatch):
    monkeypatch.setattr("slipway.cli.predict.FIRST_CONTACT_S", 0.2)
    code, out, err = within(capsys, "predict", "--url", "http://127.0.0.1:1", "nlp", "--text", "a")
    assert (code, out) == (1, "")
    assert "error: http://127.0.0.1:1: cannot be reached (Connection refused)" in err
