"""The protocol over gRPC: every method, both forms of contents, and what its callers are told when they are refused."""

import socket

import grpc
import numpy as np
import pytest

import slipway
from slipway.protocol.messages import METHODS, message
from slipway.server.app import create_app
from slipway.server.dataplane import Limits
from slipway.server.models import served_model
from slipway.store import files
from tests.helpers.bundles import FAMILIES, LABELS, make_items
from tests.helpers.protocols import FORMS, grpc_request, serving, tensor
from tests.helpers.servers import wait_until

A, B = (tensor(name, "FP32", [2, 2], [1, 2, 3, 4]) for name in "ab")


def items(family, num_items):
    return tensor("text" if family == "nlp" else "image", "BYTES", [num_items], make_items(family, num_items))


def status(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, caught.value.details()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_form_gives_the_answers_of_the_bundle(served, loaded, family, form):
    expected = loaded[family].predict(make_items(family, 5))
    told = served.ask(form, f"{family}-tiny", [items(family, 5)], id="é-7")
    assert (told.ok, told.id, list(told.outputs)) == (True, "é-7", ["probabilities", "label"]), told.error
    np.testing.assert_array_equal(told.outputs["probabilities"], expected)
    assert told.outputs["label"] == [LABELS[family][k].encode() for k in expected.argmax(axis=1)]


@pytest.mark.parametrize("form", FORMS)
def test_outputs_come_as_asked_for_and_an_id_only_when_there_was_one(served, form):
    told = served.ask(form, "sums", [A, B], outputs=["log", "sum"], version="7")
    assert (list(told.outputs), told.id) == (["log", "sum"], None)
    np.testing.assert_array_equal(told.outputs["sum"], [[2, 4], [6, 8]])
    assert list(served.ask(form, "sums", [B, A], outputs=["sum"]).outputs) == ["sum"]


def test_health_and_metadata_say_what_rest_says(served, releases):
    assert served.call("ServerLive").live
    assert served.call("ServerReady").ready
    about = served.call("ServerMetadata")
    assert {"name": about.name, "version": about.version, "extensions": [*about.extensions]} == served.http.get("/v2").json()
    assert about.version == slipway.__version__
    for name in served.http.get("/v2/models").json()["models"]:
        assert served.call("ModelReady", message("ModelReadyRequest")(name=name)).ready
        told = served.call("ModelMetadata", message("ModelMetadataRequest")(name=name))
        same = served.http.get(f"/v2/models/{name}").json()
        assert (told.name, [*told.versions], told.platform) == (same["name"], same["versions"], same["platform"])
        for kind in ("inputs", "outputs"):
            ports = [{"name": p.name, "datatype": p.datatype, "shape": [*p.shape]} for p in getattr(told, kind)]
            assert ports == [{key: p[key] for key in ("name", "datatype", "shape")} for p in same[kind]]
    digest = files.read_manifest(releases["cv"]).digest
    index = {entry.name: entry for entry in served.call("RepositoryIndex").models}
    assert (index["cv-tiny"].version, index["cv-tiny"].state) == (digest[:12], "READY")


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", "ModelInfer"])
def test_unknown_models_and_versions_are_not_found_and_the_near_name_is_offered(served, method):
    key, version = ("model_name", "model_version") if method == "ModelInfer" else ("name", "version")
    request = message(f"{method}Request")
    assert status(lambda: served.call(method, request(**{key: "cv-tinny"}))) == (
        "NOT_FOUND", "model: unknown 'cv-tinny'; did you mean 'cv-tiny'? Known: cv-tiny, defect-tiny, nlp-tiny, sums",
    )  # fmt: skip
    found = status(lambda: served.call(method, request(**{key: "sums", version: "8"})))
    assert found == ("NOT_FOUND", "version of model 'sums': unknown '8'. Known: 7")


def test_answers_have_the_form_of_the_request(served):
    for raw in (True, False):
        answer = served.call("ModelInfer", grpc_request("sums", [A, B], raw=raw))
        assert bool(answer.raw_output_contents) is raw
        assert answer.outputs[0].HasField("contents") is not raw
        assert (answer.model_name, answer.model_version) == ("sums", "7")


def test_parameters_of_a_tensor_are_read_and_unknown_ones_of_a_request_do_no_harm(served):
    request = grpc_request("nlp-tiny", [tensor("text", "BYTES", [1], [b"good film"], content_type="str")])
    request.parameters["priority"].int64_param = 3
    request.parameters["double"].double_param = 0.5
    request.parameters["nothing"].SetInParent()
    assert served.infer(request).ok
    request.inputs[0].parameters["content_type"].string_param = "jpeg"
    told = served.infer(request)
    assert (told.status, told.error) == (
        "INVALID_ARGUMENT", "inputs[0].parameters.content_type: got 'jpeg', allowed: str, base64",
    )  # fmt: skip


def test_values_are_sent_once_and_in_the_field_of_their_data_type(served):
    both = grpc_request("sums", [A, B])
    both.raw_input_contents.extend([bytes(16)] * 2)
    assert "contents: is there as well as raw_input_contents" in served.infer(both).error
    fewer = grpc_request("sums", [A, B], raw=True)
    del fewer.raw_input_contents[1]
    assert "raw_input_contents: 1 for 2 tensors" in served.infer(fewer).error
    other = grpc_request("sums", [A, B])
    other.inputs[1].contents.fp32_contents[:] = []
    other.inputs[1].contents.fp64_contents.extend([1, 2, 3, 4])
    assert "inputs[1].contents: FP32 values belong in fp32_contents, got fp64_contents" in served.infer(other).error


def test_a_request_id_comes_back_beside_an_answer_and_a_refusal(served):
    method = f"/inference.GRPCInferenceService/{METHODS[0]}"
    _, call = served.channel.unary_unary(method).with_call(b"", metadata=[("x-request-id", "abc")], timeout=20)
    assert ("x-request-id", "abc") in call.trailing_metadata()
    with pytest.raises(grpc.RpcError) as caught:
        served.call("ModelMetadata", metadata=[("x-request-id", "abc")])
    assert ("x-request-id", "abc") in caught.value.trailing_metadata()


def test_a_deadline_ends_the_call_and_its_work(served):
    request = grpc_request("cv-tiny", [items("cv", 200)])
    assert status(lambda: served.call("ModelInfer", request, timeout=0.001))[0] == "DEADLINE_EXCEEDED"
    wait_until(lambda: served.in_flight() == 0, "the call to be given up")
    assert served.infer(request, timeout=30).ok


def test_what_is_no_such_method_or_message_is_refused(served):
    assert status(lambda: served.channel.unary_unary("/inference.GRPCInferenceService/Nope")(b"", timeout=20))[0] == (
        "UNIMPLEMENTED"
    )
    for method in METHODS:
        assert status(lambda method=method: served.call(method, b"\xff")) == (
            "INVALID_ARGUMENT", f"{method}Request: not such a message; 1 bytes",
        )  # fmt: skip


def test_a_caller_without_grpc_is_turned_away_and_nobody_else_notices(served):
    with socket.create_connection(("127.0.0.1", served.app.state.grpc_port), timeout=20) as line:
        line.sendall(b"POST /v2/models/sums/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        while line.recv(4096):
            pass
    assert served.ask("raw", "sums", [A, B]).ok


def test_nothing_is_answered_without_the_token_but_the_probes(releases):
    app = create_app([served_model("nlp", str(releases["nlp"]))], threads=1, token="secret", grpc=("127.0.0.1", 0))
    with serving(app) as served:
        assert served.call("ServerReady").ready
        for metadata in ([], [("authorization", "Bearer other")]):
            found = status(lambda metadata=metadata: served.call("ServerMetadata", metadata=metadata))
            assert found[0] == "UNAUTHENTICATED"
        assert served.call("ServerMetadata", metadata=[("authorization", "Bearer secret")]).name == "slipway"


def test_who_finds_no_place_is_told_to_come_back(releases):
    limits = Limits(max_requests=0)
    app = create_app([served_model("nlp", str(releases["nlp"]))], threads=1, grpc=("127.0.0.1", 0), limits=limits)
    with serving(app) as served, pytest.raises(grpc.RpcError) as caught:
        served.call("ModelInfer", grpc_request("nlp", [items("nlp", 1)]))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert ("retry-after", "1") in caught.value.trailing_metadata()
