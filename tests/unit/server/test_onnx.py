"""The family `onnx`: any file of a user's own, with its own tensors, by every form of the protocol."""

import re
from html import unescape

import numpy as np
import pytest
from onnx import TensorProto, helper, save
from starlette.testclient import TestClient

from slipway.errors import BundleError
from slipway.server.app import create_app
from slipway.server.models import Place, served_model
from slipway.server.scheduler import Scheduler
from tests.helpers.graphs import ONNX, echoes, make_graph, sums
from tests.helpers.protocols import CONTENTS, FORMS, grpc_request, serving, tensor
from tests.helpers.servers import wait_until

EXTREMES = {
    "BOOL": [True, False],
    "FP16": [-65504.0, 0.5, 6e-8],
    "FP32": [-3.4e38, 1e-45, 0.1],
    "FP64": [-1.7e308, 5e-324, 0.1],
    "BYTES": ["", "ünï\n", "👩‍👩‍👧"],
    **{f"INT{bits}": [-(2 ** (bits - 1)), 0, 2 ** (bits - 1) - 1] for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": [0, 1, 2**bits - 1] for bits in (8, 16, 32, 64)},
}


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """`echo` of all data types, `typed` of all but FP16; `scalar` without an axis; `half` and `cast` to FP16; `text`; `both` of
    two outputs; `turned` by a quarter."""
    folder = tmp_path_factory.mktemp("graphs")
    made = {
        "echo": echoes(folder / "echo.onnx"),
        "typed": echoes(folder / "typed.onnx", sorted(CONTENTS)),
        "cast": make_graph(
            folder / "cast.onnx", [("Cast", ["x"], ["y"], {"to": ONNX["FP16"]})], {"x": ("FP32", ["N"])}, {"y": ("FP16", ["N"])}
        ),
        "scalar": make_graph(
            folder / "scalar.onnx", [("Add", ["x", "x"], ["y"])], {"x": ("FP32", [])}, {"y": ("FP32", [])}
        ),
        "half": make_graph(
            folder / "half.onnx", [("CastLike", ["x", "like"], ["y"])],
            {"x": ("FP32", ["N", "M"]), "like": ("FP16", [1])}, {"y": ("FP16", ["N", "M"])},
        ),
        "both": make_graph(
            folder / "both.onnx", [("Add", ["a", "b"], ["sum"]), ("Sub", ["a", "b"], ["rest"])],
            dict.fromkeys("ab", ("INT64", ["N", 2])), dict.fromkeys(("sum", "rest"), ("INT64", ["N", 2])),
        ),
        "turned": make_graph(
            folder / "turned.onnx", [("Transpose", ["x"], ["y"])], {"x": ("FP32", ["N", "M"])}, {"y": ("FP32", ["M", "N"])}
        ),
        "text": make_graph(
            folder / "text.onnx", [("StringConcat", ["x", "x"], ["y"])], {"x": ("BYTES", ["N", 2])}, {"y": ("BYTES", ["N", 2])}
        ),
    }  # fmt: skip
    app = create_app([served_model(n, str(path)) for n, path in made.items()], threads=1, grpc=("127.0.0.1", 0))
    with serving(app) as served:
        yield served


def test_every_data_type_of_the_protocol_is_tried():
    assert set(EXTREMES) == set(ONNX) == {*CONTENTS, "FP16"}


@pytest.mark.parametrize("form", FORMS)
def test_values_of_every_data_type_come_back_as_they_went(graphs, form):
    values = {name: sent for name, sent in EXTREMES.items() if form != "typed" or name != "FP16"}  # it has no typed contents
    sent = [tensor(f"in_{name}", name, [len(v)], v) for name, v in values.items()]
    told = graphs.ask(form, "typed" if form == "typed" else "echo", sent)
    assert told.ok, told
    for name, sent in values.items():
        found = told.outputs[f"out_{name}"]
        expected = [text.encode() for text in sent] if name == "BYTES" else np.array(sent, found.dtype)
        np.testing.assert_array_equal(found, expected)


def test_an_answer_without_typed_contents_is_raw(graphs):
    request = grpc_request("half", [tensor("x", "FP32", [1, 2], [1, 2]), tensor("like", "FP16", [1], [0])], raw=True)
    assert graphs.infer(request).outputs["y"].dtype == np.float16
    del request.raw_input_contents[:]
    request.inputs[0].contents.fp32_contents.extend([1, 2])
    assert graphs.infer(request).error == "inputs[1].contents: FP16 has no typed contents; send raw_input_contents"
    told = graphs.ask("typed", "cast", [tensor("x", "FP32", [2], [1, 2])])
    np.testing.assert_array_equal(told.outputs["y"], np.array([1, 2], np.float16))


@pytest.mark.parametrize("shape", [[1, 1], [3, 2], [2, 5], [0, 4]])
@pytest.mark.parametrize("form", ["json", "binary", "raw"])
def test_axes_of_any_length_are_taken(graphs, form, shape):
    values = np.arange(np.prod(shape), dtype=np.float32)
    like = tensor("like", "FP16", [1], [0])
    told = graphs.ask(form, "half", [tensor("x", "FP32", shape, values.tolist()), like])
    np.testing.assert_array_equal(told.outputs["y"], values.reshape(shape))


@pytest.mark.parametrize("form", FORMS)
def test_an_input_without_axes_is_answered_time_and_again(graphs, form):
    for _ in range(3):
        told = graphs.ask(form, "scalar", [tensor("x", "FP32", [], [1.5])])
        assert (told.outputs["y"].shape, told.outputs["y"].item()) == ((), 3), told


@pytest.mark.parametrize("form", FORMS)
def test_strings_are_texts(graphs, form):
    told = graphs.ask(form, "text", [tensor("x", "BYTES", [2, 2], ["a", "ü", "", "\0"])])
    assert told.outputs["y"] == [b"aa", "üü".encode(), b"", b"\0\0"]
    if form != "json":
        told = graphs.ask(form, "text", [tensor("x", "BYTES", [1, 2], [b"a", b"\xff"])])
        assert told.error == "inputs[0]: BYTES are texts in UTF-8 for this model (invalid start byte at 0)"


@pytest.mark.parametrize(
    ("model", "instances", "predictions"),
    [
        ("cast", [0.5, 2, -1.5], [0.5, 2.0, -1.5]),
        ("cast", [{"x": 0.5}], [0.5]),
        ("text", [["a", "ü"], ["", "b"]], [["aa", "üü"], ["", "bb"]]),
        (
            "both",
            [{"a": [0, 3], "b": [1, 1]}, {"a": [2, 2], "b": [-1, 2**53]}],
            [{"sum": [1, 4], "rest": [-1, 2]}, {"sum": [1, 2**53 + 2], "rest": [3, 2 - 2**53]}],
        ),
    ],
)
def test_by_v1_instances_are_rows(graphs, model, instances, predictions):
    response = graphs.http.post(f"/v1/models/{model}:predict", json={"instances": instances})
    assert response.status_code == 200, response.text
    assert response.json() == {"predictions": predictions}


@pytest.mark.parametrize(
    ("model", "instances", "says"),
    [
        ("half", [[1.0]], "instances[0]: must be an object with x, like, got [1.0]"),
        ("half", [{"x": [1.0]}], "instances[0]: must be an object with x, like, got an object with x"),
        ("cast", [{"x": 1.0}, 2.0], "instances[1]: must be an object with x, got 2.0"),
        ("cast", ["a"], "instances, 'x'[0]: FP32 holds numbers only, got 'a'"),
        ("cast", [[1.0]], "inputs[0].shape: got [1, 1], 'x' is [-1]"),
        ("text", [["a", "b"], ["c"]], "instances, 'x': lists of unequal length at depth 2"),
        ("scalar", [1.0], "inputs[0].shape: got [1], 'x' is []"),
        ("turned", [[1.0], [2.0]], "outputs: 'y' has shape [1, 2] for 2 instances, no row for each; ask by v2"),
    ],
)
def test_by_v1_what_are_no_rows_of_the_graph_is_one_line(graphs, model, instances, says):
    response = graphs.http.post(f"/v1/models/{model}:predict", json={"instances": instances})
    assert response.status_code == 400, response.text
    assert response.json()["error"].startswith(says)


def test_metadata_and_example_are_the_graphs_own(graphs):
    told = graphs.http.get("/v2/models/half").json()
    assert (told["platform"], told["parameters"]["family"]) == ("onnx_onnxv1", "onnx")
    assert told["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [-1, -1]},
        {"name": "like", "datatype": "FP16", "shape": [1]},
    ]
    for name in graphs.http.get("/v2/models").json()["models"]:
        example = graphs.http.get(f"/v2/models/{name}/example").content
        answer = graphs.http.post(f"/v2/models/{name}/infer", content=example)
        assert answer.status_code == 200, answer.text


def test_a_large_example_is_left_out_of_the_page(tmp_path):
    path = make_graph(
        tmp_path / "large.onnx", [("ReduceSum", ["x"], ["y"])], {"x": ("FP32", [1, 3, 64, 64])}, {"y": ("FP32", [1, 1, 1, 1])}
    )
    with TestClient(create_app([served_model("large", str(path))], threads=1)) as client:
        wait_until(lambda: client.get("/v2/health/ready").status_code == 200, "the model")
        page = client.get("/docs").text
    assert len(page) < 60_000
    (command,) = re.findall(r"<pre>(curl [^<]*)</pre>", page)
    assert unescape(command) == (
        "curl -s http://testserver/v2/models/large/example | curl -s http://testserver/v2/models/large/infer "
        "-H 'Content-Type: application/json' -d @-"
    )


def corrupted(path):
    path.write_bytes(sums(path).read_bytes()[:-20])


def without_inputs(path):
    nodes = [helper.make_node("Constant", [], ["y"], value_float=1.0)]
    graph = helper.make_graph(nodes, "tiny", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def of_another_type(path):
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)]
    ins, outs = (
        helper.make_tensor_value_info(*port) for port in (("x", TensorProto.FLOAT, [1]), ("y", TensorProto.BFLOAT16, [1]))
    )
    graph = helper.make_graph(nodes, "tiny", [ins], [outs])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda _path: None, "no such file; give the path of an ONNX file"),
        (lambda path: path.mkdir(), "no such file"),
        (lambda path: path.write_bytes(b""), "onnxruntime cannot load it"),
        (lambda path: path.write_bytes(b"no graph at all"), "onnxruntime cannot load it"),
        (corrupted, "onnxruntime cannot load it"),
        (without_inputs, "takes no input, and the protocol has no request without one"),
        (of_another_type, "'y' is tensor(bfloat16), which the protocol cannot say; allowed: tensor(bool), "),
    ],
    ids=["missing", "a folder", "empty", "text", "cut off", "without inputs", "of another type"],
)  # fmt: skip
def test_a_file_that_cannot_be_served_is_one_line(tmp_path, make, says):
    path = tmp_path / "model.onnx"
    make(path)
    model = served_model("m", str(path))
    with pytest.raises(BundleError) as caught:
        model.load(Place(cache=tmp_path, scheduler=Scheduler(1)))
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert (model.ready, model.failed) == (False, str(caught.value))
