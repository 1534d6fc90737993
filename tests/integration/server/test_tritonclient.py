"""Triton's own clients, HTTP and gRPC, in an environment of their own: they want other versions than ours, and two libraries
cannot register the protocol's messages in one process."""

import base64
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import slipway
from slipway import bundle as bundles
from slipway.export import environment
from slipway.protocol.messages import MESSAGES, message
from slipway.server.app import create_app
from slipway.server.models import served_model
from tests.helpers.bundles import LABELS, make_items, png
from tests.helpers.graphs import ONNX, echoes, sums
from tests.helpers.message_fields import described
from tests.helpers.package_index import need_package_index
from tests.helpers.protocols import serving

pytestmark = [pytest.mark.integration, pytest.mark.slow]
LOCK = Path(__file__).with_name("tritonclient.lock")
SCRIPT = Path(__file__).parents[2] / "helpers/triton_conversation.py"
TEXTS = ["a fine film", "a dull plot"]
COMPARED = [name for name in MESSAGES if name.endswith(("Request", "Response")) or name == "InferParameter"]


@pytest.fixture(scope="module")
def told(releases, tmp_path_factory):
    """What the clients heard."""
    folder = tmp_path_factory.mktemp("triton")
    need_package_index(folder / "one")
    python = environment.ready(folder, "tritonclient", LOCK, say=print)
    models = [served_model(family, str(path), version="3") for family, path in releases.items()]
    models += [served_model("sums", str(sums(folder / "sums.onnx"))), served_model("echo", str(echoes(folder / "echo.onnx")))]
    with serving(create_app(models, threads=1, grpc=("127.0.0.1", 0))) as served:
        asked = {
            "http": f"127.0.0.1:{served.http.base_url.port}",
            "grpc": f"127.0.0.1:{served.app.state.grpc_port}",
            "image": base64.b64encode(make_items("cv", 1)[0]).decode(),
            "heavy": base64.b64encode(png(np.zeros((2000, 2000, 3), np.uint8))).decode(),
            "texts": TEXTS,
            "messages": COMPARED,
        }
        done = subprocess.run([python, SCRIPT], input=json.dumps(asked), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(("transport", "form"), [("http", "binary"), ("http", "json"), ("grpc", "raw")])
def test_they_get_the_answers_of_bundle_predict(told, releases, transport, form):
    heard = told[transport]
    assert heard["health"] == [True, True, True]
    labels, probabilities = heard["text"][form]
    expected = bundles.load(releases["nlp"]).predict(TEXTS)
    np.testing.assert_array_equal(np.float32(probabilities), expected.ravel())
    assert labels == [LABELS["nlp"][k] for k in expected.argmax(axis=1)]
    if form == "json":  # their JSON holds neither files nor FP16
        assert form not in heard["image"]
        return
    request_id, probabilities = heard["image"][form]
    np.testing.assert_array_equal(np.float32(probabilities), bundles.load(releases["cv"]).predict(make_items("cv", 1)).ravel())
    assert request_id == "7"
    assert heard["echo"][form] == dict.fromkeys(ONNX, True)


CODES = {"http": ["400", "404", "403"], "grpc": ["INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED"]}


@pytest.mark.parametrize("transport", CODES)
def test_they_are_told_what_is_wrong(told, transport):
    (wrong, unknown, load, unload) = told[transport]["refused"]
    assert [status.removeprefix("StatusCode.") for status, _ in (wrong, unknown, load)] == CODES[transport]
    assert wrong[1] == "inputs[0].name: unknown 'tex'; did you mean 'text'? Known: text"
    assert unknown[1].startswith("model: unknown 'nl'; did you mean 'nlp'?")
    assert "start it with --store URI" in load[1]
    assert load == unload


def test_they_read_metadata_and_the_index(told):
    for transport in ("http", "grpc"):
        about, cv, index = told[transport]["metadata"]
        assert (about["name"], about["version"]) == ("slipway", slipway.__version__)
        assert (cv["name"], cv["versions"], cv["platform"]) == ("cv", ["3"], "slipway_onnx")
        assert [port["name"] for port in cv["outputs"]] == ["probabilities", "label", "heatmap"]
        models = index["models"] if transport == "grpc" else index
        assert {(m["name"], m["state"]) for m in models} == {(n, "READY") for n in ("cv", "defect", "nlp", "sums", "echo")}


def test_several_calls_at_a_time_compression_and_deadlines(told):
    assert told["http"]["async"] == [[2, 2]] * 3
    assert told["http"]["compressed"] == ["415", "content-encoding 'gzip' is not supported; send it as it is"]
    assert told["grpc"]["compressed"] == [2, 2]
    assert told["grpc"]["late"][0] == "StatusCode.DEADLINE_EXCEEDED"


@pytest.mark.parametrize("name", COMPARED)
def test_our_messages_are_the_published_ones_field_by_field(told, name):
    assert described(message(name).DESCRIPTOR) == told["messages"][name]
