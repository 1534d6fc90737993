"""The page's bytes and headers, and the routes that only it asks; what it does in a browser is an integration test."""

import json
import re

import pytest
from starlette.testclient import TestClient

from slipway.explain import picture
from slipway.server.app import create_app
from slipway.server.models import Place, served_model
from slipway.server.playground import CARD, PAGE, policy
from slipway.server.scheduler import Scheduler
from slipway.store import files
from tests.helpers.bundles import CARD_PAGE, FAMILIES, LABELS, make_bundle, make_release

ABOUT = {
    "data": {"name": "digits", "fingerprint": "0" * 64, "counts": {"train": {"circle": 3}}},
    "training": {"best": {"epoch": 2, "val_accuracy": 0.9, "val_loss": 0.1}},
    "config": {"teacher": "/home/somebody/model"},
}


def test_page_is_html_that_may_only_run_itself_and_ask_its_own_server(client):
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    rules = dict(rule.strip().split(" ", 1) for rule in response.headers["content-security-policy"].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    for directive in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", rules[directive])
    assert response.headers["x-content-type-options"] == "nosniff"


def test_page_loads_nothing_and_writes_no_markup_from_values():
    page = PAGE.read_text(encoding="utf-8")
    assert not re.findall(r"(?:https?:)?//[\w.-]+\.\w", page), "must work without a network"
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == ["data:,", "docs"], "relative: behind a prefix, too"
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|\son\w+=|\sstyle=", page)


def test_policy_changes_with_the_script():
    page = PAGE.read_text(encoding="utf-8")
    assert policy(page) != policy(page.replace('"use strict";', '"use strict"; '))


def test_heat_has_the_colours_of_explain():
    page = PAGE.read_text(encoding="utf-8")
    found = [tuple(bytes.fromhex(colour)) for colour in re.findall(r"--heat-\d: #(\w{6})", page)]
    assert tuple(found) == picture.STOPS


@pytest.mark.parametrize("family", FAMILIES)
def test_example_is_answered(client, family):
    body = client.get(f"/v2/models/{family}-tiny/example").json()
    response = client.post(f"/v2/models/{family}-tiny/infer", json=body)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("family", FAMILIES)
def test_card_of_a_release_names_its_evaluation(client, loaded, family):
    card = client.get(f"/v2/models/{family}-tiny/card").json()
    assert card["labels"] == list(LABELS[family])
    assert card["architecture"] == f"tiny_{family}"
    assert card["release"] == loaded[family].release
    assert card["preprocess"] == json.loads(json.dumps(loaded[family].meta["preprocess"]))


def test_card_of_a_bundle_tells_of_its_making_but_not_of_the_machine(tmp_path):
    model = served_model("cv", str(make_bundle("cv", tmp_path / "bundle", **ABOUT)))
    app = create_app([model])
    model.load(Place(cache=tmp_path, scheduler=Scheduler(1)))
    card = TestClient(app).get("/v2/models/cv/card").json()
    assert card["release"] is None
    assert (card["data"], card["training"]) == (ABOUT["data"], ABOUT["training"])
    assert set(card) <= {"name", "version", "digest", "family", "labels", "release", "page", *CARD}
    assert "somebody" not in json.dumps(card)


def test_card_page_of_a_release_runs_nothing(client):
    assert client.get("/v2/models/cv-tiny/card").json()["page"] is True
    response = client.get("/v2/models/cv-tiny/card/page")
    assert (response.status_code, response.text) == (200, CARD_PAGE)
    assert "script-src 'none'" in response.headers["content-security-policy"]


def test_release_without_a_card_says_so_and_is_the_same_release(tmp_path, releases):
    without = make_release(make_bundle("cv", tmp_path / "bundle"), tmp_path / "release")
    assert files.read_manifest(without).digest == files.read_manifest(releases["cv"]).digest
    model = served_model("cv", str(without))
    app = create_app([model])
    model.load(Place(cache=tmp_path, scheduler=Scheduler(1)))
    client = TestClient(app)
    assert client.get("/v2/models/cv/card").json()["page"] is False
    response = client.get("/v2/models/cv/card/page")
    assert response.status_code == 404
    assert "has no card" in response.json()["error"]


@pytest.mark.parametrize("route", ["card", "card/page", "example"])
def test_model_that_is_not_there_is_not_found_and_one_that_loads_says_so(releases, route):
    client = TestClient(create_app([served_model("cv", str(releases["cv"]))]))  # not entered: nothing is loaded
    assert client.get(f"/v2/models/cw/{route}").json()["error"].startswith("model: unknown 'cw'")
    response = client.get(f"/v2/models/cv/{route}")
    assert response.status_code == 503
    assert "is being loaded" in response.json()["error"]
