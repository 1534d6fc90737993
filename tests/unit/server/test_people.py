"""Plain routes: one item in, one flat object out, the same numbers as by v2."""

import base64

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from slipway.server.app import create_app
from slipway.server.models import served_model
from slipway.server.people import PLAIN
from tests.helpers.bundles import LABELS, make_items
from tests.helpers.servers import wait_until

FAMILY = {"/predict": "cv", "/predict_defect_image": "defect", "/predict_text": "nlp"}


def as_json(family, item):
    return {"text": item.decode()} if family == "nlp" else {"image_base64": base64.b64encode(item).decode()}


def form(value):
    """A form's bytes, with the boundary x."""
    return b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + value + b"\r\n--x--\r\n"


def test_every_route_has_a_test():
    assert set(FAMILY) == set(PLAIN)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", FAMILY)
def test_one_item_is_answered_with_the_probabilities_of_the_bundle(client, loaded, path, slash):
    family = FAMILY[path]
    (item,) = make_items(family, 1)
    (expected,) = loaded[family].predict([item])
    response = client.post(f"{path}{slash}", json=as_json(family, item))
    assert response.status_code == 200, response.text
    told, best = response.json(), int(expected.argmax())
    if path == "/predict":
        assert (told["class_index"], told["class_name"]) == (best, LABELS["cv"][best])
        assert np.float32(told["confidence"]) == expected[best]
        np.testing.assert_array_equal(np.array(told["probabilities"], np.float32), expected)
        return
    probabilities = told["probs" if family == "nlp" else "probabilities"]
    assert list(probabilities) == list(LABELS[family])
    np.testing.assert_array_equal(np.array(list(probabilities.values()), np.float32), expected)
    assert told["label" if family == "nlp" else "prediction"] == LABELS[family][best]
    if family == "nlp":
        assert np.float32(told["score"]) == expected[best]


@pytest.mark.parametrize("path", ["/predict", "/predict_defect_image"])
def test_a_file_of_a_form_and_a_data_url_are_answered_alike(client, path):
    (item,) = make_items(FAMILY[path], 1)
    expected = client.post(path, json=as_json(FAMILY[path], item)).json()
    assert client.post(path, files={"file": ("x.png", item, "image/png")}).json() == expected
    url = "data:image/png;base64," + base64.b64encode(item).decode()
    assert client.post(path, json={"image_base64": url}).json() == expected
    assert client.post(path, files={"file": item}, data={"model": f"{FAMILY[path]}-tiny"}).json() == expected


def test_a_model_may_be_named(client):
    (item,) = make_items("defect", 1)
    by_name = client.post("/predict", json=as_json("defect", item) | {"model": "defect-tiny"}).json()
    assert by_name["class_name"] in LABELS["defect"]


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("/predict", b"{", 400, "body: not JSON"),
        ("/predict", b"[]", 400, "must be a JSON object"),
        ("/predict", b"{}", 400, "needs `image_base64`"),
        ("/predict", b'{"image_base64": 3}', 400, "image_base64: must be a string"),
        ("/predict", b'{"image_base64": "***"}', 400, "image_base64: not base64"),
        ("/predict", b'{"image_base64": "AAAA"}', 400, "not an image"),
        ("/predict_text", b"{}", 400, "needs `text`"),
        ("/predict_text", b'{"text": "a", "model": "nlp-tini"}', 404, "did you mean 'nlp-tiny'?"),
        ("/predict_text", b'{"text": "a", "model": "cv-tiny"}', 404, "model of family nlp: unknown 'cv-tiny'"),
        ("/predict_text", b'{"text": "a", "run_id": "r-1"}', 404, "unknown 'r-1'. Known: cv-tiny"),
    ],
)
def test_what_cannot_be_answered_is_one_line(client, path, body, status, says):
    response = client.post(path, content=body)
    assert (response.status_code, says in response.json()["error"]) == (status, True), response.text
    assert "\n" not in response.json()["error"]


def test_a_broken_form_is_refused(client):
    for body, content_type in (
        (b"--x\r\nno form", "multipart/form-data; boundary=x"),
        (b"--x--", "multipart/form-data"),
        (b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc', "multipart/form-data; boundary=x"),
    ):
        response = client.post("/predict", content=body, headers={"content-type": content_type})
        assert response.status_code == 400, response.text
        assert response.json()["error"].startswith("body: ")


def test_health_is_ok_when_every_model_is_ready(client):
    assert client.get("/health").json() == {"status": "ok"}


def test_plain_requests_are_counted_under_the_model_that_answered(releases):
    with TestClient(create_app([served_model("nlp-tiny", str(releases["nlp"]), version="7")])) as client:
        wait_until(lambda: client.get("/health").status_code == 200, "the model")
        assert client.post("/predict_text", json={"text": "a fine film"}).status_code == 200
        (item,) = make_items("cv", 1)
        refused = client.post("/predict", json=as_json("cv", item))
        assert (
            refused.status_code,
            "no model of family cv or defect is served; there are nlp-tiny (nlp)" in refused.json()["error"],
        ) == (404, True)
        metrics = client.get("/metrics").text
    assert 'inference_requests_total{model="nlp-tiny",protocol="rest_plain",status="200",version="7"} 1.0' in metrics
    assert 'inference_requests_total{model="unknown",protocol="rest_plain",status="404",version=""} 1.0' in metrics


def test_the_page_shows_the_plain_routes(client):
    page = client.get("/docs").text
    for path in PLAIN:
        assert f"<code>{path}</code>" in page
    assert "class_index" in page


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=60) | st.binary(max_size=60).map(lambda b: b"--x\r\n" + b) | st.binary(max_size=40).map(form),
    content_type=st.sampled_from(["", "application/json", "multipart/form-data; boundary=x", "multipart/form-data; boundary="]),
    path=st.sampled_from(sorted(PLAIN)),
)
def test_no_body_makes_a_plain_route_fail(client, body, content_type, path):
    response = client.post(path, content=body, headers={"content-type": content_type})
    assert response.status_code in (200, 400, 404), response.text
