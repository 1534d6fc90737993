"""Tensors behind the JSON: the same answers as inside it, and no byte too many or too few."""

import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.errors import RequestError
from slipway.protocol import rest, tensors
from tests.helpers.bundles import FAMILIES, LABELS, image, make_items


def send(client, family, header, behind=b"", *, length=None):
    told = json.dumps(header).encode()
    headers = {rest.HEADER: str(len(told)) if length is None else length}
    return client.post(f"/v2/models/{family}-tiny/infer", content=told + behind, headers=headers)


def packed(items):
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def tensor(name, shape, datatype, size):
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}


def values(response):
    """Name -> bytes of the tensors behind the JSON, and the JSON."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers[rest.HEADER])
    told, at, found = json.loads(response.content[:length]), length, {}
    for output in told["outputs"]:
        if size := output.get("parameters", {}).get("binary_data_size"):
            assert "data" not in output
            found[output["name"]] = response.content[at : at + size]
            at += size
    assert at == len(response.content)
    return found, told


@pytest.mark.parametrize("family", FAMILIES)
def test_bytes_in_and_out_give_the_answers_of_the_bundle(client, loaded, family):
    items = make_items(family, 5)
    behind = packed(items)
    header = {
        "id": "7",
        "inputs": [tensor("text" if family == "nlp" else "image", [5], "BYTES", len(behind))],
        "parameters": {"binary_data_output": True},
    }
    found, told = values(send(client, family, header, behind))
    expected = loaded[family].predict(items)
    np.testing.assert_array_equal(np.frombuffer(found["probabilities"], "<f4").reshape(expected.shape), expected)
    labels = [LABELS[family][k].encode() for k in expected.argmax(axis=1)]
    assert tensors.unpack_strings(memoryview(found["label"]), 5, "label") == labels
    assert told["id"] == "7"


def test_pixels_behind_the_json_and_one_output_of_each_kind(client, loaded):
    pixels = np.stack([image(np.random.default_rng(1), 45, 3) for _ in range(2)])
    header = {
        "inputs": [tensor("image", list(pixels.shape), "UINT8", pixels.size)],
        "outputs": [{"name": "label"}, {"name": "probabilities", "parameters": {"binary_data": True}}],
    }
    found, told = values(send(client, "cv", header, pixels.tobytes()))
    expected = loaded["cv"].predict(list(pixels))
    np.testing.assert_array_equal(np.frombuffer(found["probabilities"], "<f4").reshape(2, -1), expected)
    assert told["outputs"][0]["data"] == [LABELS["cv"][k] for k in expected.argmax(axis=1)]
    assert list(found) == ["probabilities"]


def test_json_in_may_ask_for_bytes_out_and_the_other_way(client, loaded):
    items = make_items("nlp", 2)
    texts = {"name": "text", "shape": [2], "datatype": "BYTES", "data": [item.decode() for item in items]}
    asked = {"inputs": [texts], "parameters": {"binary_data_output": True}}
    found, _ = values(client.post("/v2/models/nlp-tiny/infer", json=asked))
    expected = loaded["nlp"].predict(items)
    np.testing.assert_array_equal(np.frombuffer(found["probabilities"], "<f4").reshape(2, -1), expected)
    behind = packed(items)
    response = send(client, "nlp", {"inputs": [tensor("text", [2], "BYTES", len(behind))]}, behind)
    assert response.headers["content-type"] == "application/json"
    assert rest.HEADER not in response.headers
    np.testing.assert_array_equal(np.array(response.json()["outputs"][0]["data"], np.float32), expected.ravel())


def test_a_heatmap_is_given_behind_the_json(client):
    behind = packed(make_items("cv", 2))
    header = {
        "inputs": [tensor("image", [2], "BYTES", len(behind))],
        "outputs": [{"name": "heatmap", "parameters": {"binary_data": True}}],
    }
    found, told = values(send(client, "cv", header, behind))
    (output,) = told["outputs"]
    assert len(found["heatmap"]) == 4 * np.prod(output["shape"])


IMAGE = {"name": "image", "shape": [1], "datatype": "BYTES"}


@pytest.mark.parametrize(
    ("header", "behind", "length", "says"),
    [
        ({"inputs": [tensor("image", [1], "BYTES", 5)]}, b"\x01\0\0\0a", "x", "must be the JSON's length in bytes"),
        ({"inputs": [tensor("image", [1], "BYTES", 5)]}, b"\x01\0\0\0a", "99999", "at most"),
        ({"inputs": [tensor("image", [1], "BYTES", 6)]}, b"\x01\0\0\0a", None, "got 6, 5 bytes are left behind the JSON"),
        ({"inputs": [tensor("image", [1], "BYTES", -1)]}, b"", None, "got -1"),
        ({"inputs": [tensor("image", [1], "BYTES", True)]}, b"a", None, "got true"),
        ({"inputs": [tensor("image", [2], "BYTES", 5)]}, b"\x01\0\0\0a", None, "ends in string 1 of 2"),
        ({"inputs": [tensor("image", [1], "BYTES", 5)]}, b"\xff\xff\xff\xffa", None, "string 0 says 4294967295 bytes, 1 are"),
        ({"inputs": [tensor("image", [1], "BYTES", 6)]}, b"\x01\0\0\0ab", None, "1 bytes behind the last of 1 strings"),
        (
            {"inputs": [tensor("image", [1, 2, 2, 1], "UINT8", 3)]},
            b"abc",
            None,
            "but UINT8 of shape [1, 2, 2, 1] has 4",
        ),
        (
            {"inputs": [IMAGE | {"data": ["aa"]}]},
            b"abc",
            None,
            "3 bytes are behind the JSON, binary_data_size of all tensors together 0",
        ),
        ({"inputs": [tensor("image", [1], "BYTES", 3) | {"data": ["aa"]}]}, b"abc", None, "send the values once"),
        ({"inputs": [IMAGE | {"data": ["aGk="]}], "parameters": {"binary_data_output": 1}}, b"", None, "true or false, got 1"),
    ],
)
def test_bytes_that_do_not_fit_what_the_json_says_are_refused(client, header, behind, length, says):
    response = send(client, "cv", header, behind, length=length)
    assert (response.status_code, says in response.json()["error"]) == (400, True), response.text


def test_a_size_without_the_header_is_refused(client):
    response = client.post("/v2/models/cv-tiny/infer", json={"inputs": [tensor("image", [1], "BYTES", 5)]})
    assert (response.status_code, "needs the header Inference-Header" in response.json()["error"]) == (400, True), response.text


@given(values=st.lists(st.text(max_size=20), max_size=8))
def test_strings_survive_packing(values):
    found = memoryview(tensors.pack_strings(values))
    assert tensors.unpack_strings(found, len(values), "x") == [value.encode() for value in values]


@given(data=st.binary(max_size=40), count=st.integers(0, 5))
def test_any_bytes_are_strings_or_refused(data, count):
    try:
        found = tensors.unpack_strings(memoryview(data), count, "x")
    except RequestError:
        return
    assert packed(found) == data


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(behind=st.binary(max_size=60), size=st.integers(-1, 70), count=st.integers(0, 3), length=st.integers(-1, 200))
def test_no_binary_request_makes_the_server_fail(client, behind, size, count, length):
    header = {"inputs": [tensor("image", [count], "BYTES", size)]}
    response = send(client, "cv", header, behind, length=None if length > 150 else str(length))
    assert response.status_code == 400, response.text


def test_the_server_says_that_it_speaks_it(client):
    assert client.get("/v2").json()["extensions"] == [rest.EXTENSION, "model_repository"]
