"""The v1 protocol: instances in, predictions out, the same numbers as by v2."""

import base64
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.server.bundle_model import MAX_ITEMS
from tests.helpers.bundles import FAMILIES, LABELS, image, make_items


def b64(item):
    return {"b64": base64.b64encode(item).decode()}


def predict(client, family, instances):
    return client.post(f"/v1/models/{family}-tiny:predict", json={"instances": instances})


@pytest.mark.parametrize("family", FAMILIES)
def test_instances_are_answered_as_the_bundle_answers_them(client, loaded, family):
    items = make_items(family, 4)
    name = "text" if family == "nlp" else "image"
    expected = loaded[family].predict(items)
    forms = [
        [b64(item) for item in items],
        [{name: b64(item)} for item in items],
        [{f"{name}_bytes": b64(item)} for item in items],
    ]
    if family == "nlp":
        forms += [[item.decode() for item in items], [{"text": item.decode()} for item in items]]
    for instances in forms:
        response = predict(client, family, instances)
        assert response.status_code == 200, response.text
        told = response.json()["predictions"]
        np.testing.assert_array_equal(np.array([row["probabilities"] for row in told], np.float32), expected)
        assert [row["label"] for row in told] == [LABELS[family][k] for k in expected.argmax(axis=1)]


def test_pixels_of_any_sizes_are_instances(client, loaded):
    rng = np.random.default_rng(0)
    pixels = [image(rng, px, 3) for px in (20, 45)]
    told = predict(client, "cv", [p.tolist() for p in pixels]).json()["predictions"]
    expected = loaded["cv"].predict(pixels)
    np.testing.assert_array_equal(np.array([row["probabilities"] for row in told], np.float32), expected)


def test_models_are_listed_and_say_whether_they_are_ready(client):
    assert client.get("/v1/models").json() == {"models": ["cv-tiny", "defect-tiny", "nlp-tiny"]}
    assert client.get("/v1/models/cv-tiny").json() == {"name": "cv-tiny", "ready": True}
    assert client.get("/v1/models/cv-tini").status_code == 404


@pytest.mark.parametrize(
    ("model", "body", "status", "says"),
    [
        ("cv-tini", {"instances": [1]}, 404, "did you mean 'cv-tiny'?"),
        ("cv-tiny", [], 400, "body: must be a JSON object, got an empty list"),
        ("cv-tiny", {}, 400, "instances: must be a list of at least one, got nothing"),
        ("cv-tiny", {"instances": []}, 400, "got an empty list"),
        ("cv-tiny", {"instances": [0] * (MAX_ITEMS + 1)}, 400, "allowed are 1024"),
        ("cv-tiny", {"instances": [{"b64": "*"}]}, 400, "instances[0].b64: not base64"),
        ("cv-tiny", {"instances": ["abc"]}, 400, "instances[0]: must be {"),
        ("cv-tiny", {"instances": [[[1, 2], [3]]]}, 400, "got shape [2, 2]"),
        ("cv-tiny", {"instances": [[[[300]]]]}, 400, "300 does not fit UINT8"),
        ("cv-tiny", {"instances": [[1, 2]]}, 400, "got shape [2]"),
        ("nlp-tiny", {"instances": [3]}, 400, "instances[0]: must be a string, got 3"),
    ],
)
def test_what_is_no_such_request_is_one_line(client, model, body, status, says):
    response = client.post(f"/v1/models/{model}:predict", json=body)
    assert (response.status_code, says in response.json()["error"]) == (status, True), response.text


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(["b64", "image", "text"]), v, max_size=2),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.fixed_dictionaries({"instances": st.lists(values, max_size=3) | values}) | values, family=st.sampled_from(FAMILIES)
)
def test_no_request_makes_the_server_fail(client, body, family):
    response = client.post(f"/v1/models/{family}-tiny:predict", content=json.dumps(body).encode())
    assert response.status_code in (200, 400), response.text
