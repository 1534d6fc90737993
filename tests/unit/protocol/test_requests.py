import json

import numpy as np
import pytest

from slipway.errors import RequestError
from slipway.protocol import rest
from slipway.protocol.tensors import Tensor, of_array
from slipway.server.bundle_model import items_of


def tensor(**changes):
    return {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["AAAA"]} | changes]}


MALFORMED = {
    "not JSON": (b"{", ["body", "not JSON"]),
    "empty body": (b"", ["body", "not JSON"]),
    "NaN": (b'{"inputs": NaN}', ["body", "not JSON"]),
    "not UTF-8": (b'{"id": "\xff"}', ["body", "not JSON"]),
    "10,000 brackets": (b"[" * 10_000 + b"]" * 10_000, ["body", "not JSON"]),
    "a list": (b"[]", ["body", "object", "empty list"]),
    "id is a number": ({"id": 7, "inputs": []}, ["id", "string", "7"]),
    "no inputs": ({}, ["inputs", "at least one tensor", "nothing"]),
    "empty inputs": ({"inputs": []}, ["inputs", "empty list"]),
    "input is a string": ({"inputs": ["x"]}, ["inputs[0]", "name", "'x'"]),
    "misspelt input": (tensor(name="imag"), ["inputs[0].name", "did you mean 'image'"]),
    "duplicate inputs": ({"inputs": tensor()["inputs"] * 2}, ["inputs[1].name", "'image' is there twice"]),
    "no shape": (tensor(shape=None), ["inputs[0].shape", "nothing"]),
    "negative shape": (tensor(shape=[-1]), ["inputs[0].shape", "[-1]"]),
    "shape of booleans": (tensor(shape=[True]), ["inputs[0].shape", "[True]"]),
    "shape of fractions": (tensor(shape=[1.0]), ["inputs[0].shape", "[1.0]"]),
    "shape of two dimensions": (tensor(shape=[1, 1]), ["inputs[0].shape", "[1, 1]", "allowed [N]"]),
    "empty batch": (tensor(shape=[0], data=[]), ["empty batch"]),
    "too many items": (tensor(shape=[5000], data=["AAAA"] * 5000), ["5000 items", "allowed are 1024"]),
    "astronomic shape": (tensor(shape=[10**18], data=[]), ["0 values", "1000000000000000000"]),
    "shape is not data": (tensor(shape=[2]), ["1 values", "says 2"]),
    "no data": (tensor(data=None), ["inputs[0].data", "nothing"]),
    "wrong datatype": (tensor(datatype="FP32"), ["inputs[0].data[0]", "FP32 holds numbers", "'AAAA'"]),
    "datatype is an object": (tensor(datatype={"a": 1}), ["inputs[0].datatype", "unknown", "BYTES"]),
    "item is a number": (tensor(data=[5]), ["inputs[0].data[0]", "a string, got 5"]),
    "item is not base64": (tensor(shape=[2], data=["AAAA", "%%%"]), ["inputs[0].data[1]", "not base64"]),
    "item is not ASCII": (tensor(data=["ä"]), ["inputs[0].data[0]", "not base64"]),
    "unknown content type": (tensor(parameters={"content_type": "jpeg"}), ["content_type", "'jpeg'", "base64"]),
    "parameters is a list": (tensor(parameters=[1]), ["parameters", "object"]),
    "pixels of three dimensions": (tensor(datatype="UINT8", shape=[2, 2, 1], data=[1] * 4), ["[2, 2, 1]", "[N, H, W, C]"]),
    "four channels": (tensor(datatype="UINT8", shape=[1, 1, 1, 4], data=[1] * 4), ["[1, 1, 1, 4]", "C 1 or 3"]),
    "too few pixels": (tensor(datatype="UINT8", shape=[1, 2, 2, 1], data=[1, 2, 3]), ["3 values", "says 4"]),
    "pixel above 255": (
        tensor(datatype="UINT8", shape=[1, 1, 1, 1], data=[256]),
        ["data[0]", "256 does not fit UINT8"],
    ),
    "negative pixel": (tensor(datatype="UINT8", shape=[1, 1, 1, 1], data=[-1]), ["-1 does not fit UINT8"]),
    "fraction": (tensor(datatype="UINT8", shape=[1, 1, 1, 1], data=[0.5]), ["whole numbers"]),
    "pixel is a string": (tensor(datatype="UINT8", shape=[1, 1, 1, 1], data=["1"]), ["whole numbers"]),
    "nested otherwise": (
        tensor(datatype="UINT8", shape=[1, 2, 2, 1], data=[[1, 2, 3, 4]]),
        ["unequal length"],
    ),
    "ragged": (tensor(datatype="UINT8", shape=[1, 2, 2, 1], data=[[[[1], [2]], [[3]]]]), ["unequal length"]),
    "a huge image": (tensor(datatype="UINT8", shape=[1, 10**6, 10**6, 3], data=[1]), ["1 values", "3000000000000"]),
    "outputs is an object": (tensor() | {"outputs": {}}, ["outputs", "a list"]),
    "output without a name": (tensor() | {"outputs": [{"nam": "labels"}]}, ["outputs[0]", "string `name`"]),
    "output twice": (tensor() | {"outputs": [{"name": "label"}] * 2}, ["outputs[1].name", "twice"]),
}


def items(body, input_name="image"):
    return items_of(rest.read_request(body), input_name)


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_request_is_refused_with_what_was_got_and_what_is_allowed(case):
    body, words = MALFORMED[case]
    with pytest.raises(RequestError) as caught:
        items(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("data", [list(range(12)), np.arange(12).reshape(2, 2, 1, 3).tolist()], ids=["flat", "nested"])
def test_pixels_may_be_flat_or_nested(data):
    body = json.dumps(tensor(datatype="UINT8", shape=[2, 2, 1, 3], data=data)).encode()
    np.testing.assert_array_equal(items(body), np.arange(12, dtype=np.uint8).reshape(2, 2, 1, 3))


def test_text_is_taken_as_it_stands_and_as_base64_when_the_client_says_so():
    plain = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["ünï \n"]}]}
    assert items(json.dumps(plain).encode(), "text") == ["ünï \n"]
    plain["inputs"][0] |= {"data": ["aGk="], "parameters": {"content_type": "base64"}}
    assert items(json.dumps(plain).encode(), "text") == [b"hi"]


def test_answer_keeps_every_bit_of_a_float32():
    probabilities = np.random.default_rng(0).random((3, 7), dtype=np.float32)
    answer = json.loads(written([of_array("probabilities", probabilities)], id="7"))
    np.testing.assert_array_equal(np.array(answer["outputs"][0]["data"], np.float32).reshape(3, 7), probabilities)
    assert answer["id"] == "7"
    assert answer["outputs"][0]["shape"] == [3, 7]


def test_request_without_id_is_answered_without_id():
    answer = json.loads(written([Tensor("label", "BYTES", (1,), ["a"])]))
    assert "id" not in answer
    assert [output["name"] for output in answer["outputs"]] == ["label"]


def written(outputs, id=None):
    answer = rest.InferAnswer(model="m", version="1", outputs=outputs, id=id)
    return rest.write_answer(answer, rest.InferRequest(inputs=[]))[0]
