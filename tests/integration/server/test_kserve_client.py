"""KServe's own inference client, over REST and over gRPC, and the messages that its library was generated with."""

import asyncio
import base64
import warnings
from functools import cache

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway.protocol.messages import MESSAGES, message
from slipway.server.app import create_app
from slipway.server.models import served_model
from tests.helpers.bundles import FAMILIES, LABELS, make_items
from tests.helpers.graphs import sums
from tests.helpers.protocols import serving

pytestmark = pytest.mark.integration


@cache
def library():
    """kserve: two thousand modules, which nobody who tests something else should wait for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        import kserve
    return kserve


def wanted(name, as_bytes):
    return library().protocol.infer_type.RequestedOutput(name, {"binary_data": as_bytes})


@pytest.fixture(scope="module")
def served(releases, tmp_path_factory):
    models = [served_model(family, str(path), version="3") for family, path in releases.items()]
    models.append(served_model("sums", str(sums(tmp_path_factory.mktemp("graph") / "sums.onnx")), version="3"))
    with serving(create_app(models, threads=1, grpc=("127.0.0.1", 0))) as served:
        yield served


class Rest:
    """KServe's REST client of one server."""

    def __init__(self, served):
        self.url = str(served.http.base_url).rstrip("/")
        self.client = library().InferenceRESTClient(library().RESTConfig(protocol="v2", retries=0))

    async def is_ready(self, model):
        """The server lives, it is ready, and so is the model."""
        ask, url = self.client, self.url
        return await ask.is_server_live(url), await ask.is_server_ready(url), await ask.is_model_ready(url, model)

    async def infer(self, request):
        return await self.client.infer(self.url, request, model_name=request.model_name)


class Grpc:
    """KServe's gRPC client of one server."""

    def __init__(self, served):
        self.client = library().InferenceGRPCClient(f"127.0.0.1:{served.app.state.grpc_port}", retries=0)

    async def is_ready(self, model):
        """The server lives, it is ready, and so is the model."""
        return await self.client.is_server_live(), await self.client.is_server_ready(), await self.client.is_model_ready(model)

    async def infer(self, request):
        return await self.client.infer(request)


def talk(served, transport, conversation):
    """What a conversation with KServe's client of that transport gives."""

    async def run():
        client = transport(served)
        try:
            return await conversation(client)
        finally:
            await client.client.close()

    return asyncio.run(run())


both = pytest.mark.parametrize("transport", [Rest, Grpc])
forms = pytest.mark.parametrize("as_bytes", [False, True], ids=["values", "bytes"])


@both
@forms
@pytest.mark.parametrize("family", FAMILIES)
def test_it_gets_the_answers_of_bundle_predict(served, releases, family, transport, as_bytes):
    items = make_items(family, 4)
    expected = bundles.load(releases[family]).predict(items)
    data = [i.decode() if family == "nlp" else base64.b64encode(i).decode() for i in items] if transport is Rest else items

    async def conversation(client):
        assert await client.is_ready(family) == (True, True, True)
        tensor = library().InferInput("text" if family == "nlp" else "image", [4], "BYTES", data=None if as_bytes else data)
        if as_bytes:
            tensor.set_data_from_numpy(np.array(items, dtype=np.object_), binary_data=True)
        outputs = [
            library().protocol.infer_type.RequestedOutput(name, {"binary_data": as_bytes})
            for name in ("label", "probabilities")
        ]
        return await client.infer(library().InferRequest(family, [tensor], request_id="abc", request_outputs=outputs))

    answer = talk(served, transport, conversation)
    assert (answer.id, answer.model_name) == ("abc", family)
    assert answer.model_version == ("3" if transport is Grpc else None), "its REST client does not keep it"
    label, probabilities = answer.outputs
    np.testing.assert_array_equal(probabilities.as_numpy(), expected)
    labels = [text.decode() if isinstance(text, bytes) else text for text in label.as_numpy()]
    assert labels == [LABELS[family][k] for k in expected.argmax(axis=1)]


@both
@forms
def test_it_asks_a_graph_with_tensors_of_its_own(served, transport, as_bytes):
    values = np.arange(6, dtype=np.float32).reshape(3, 2)

    async def conversation(client):
        inputs = [library().InferInput(name, [3, 2], "FP32") for name in "ab"]
        for tensor in inputs:
            tensor.set_data_from_numpy(values + 1, binary_data=as_bytes)
        return await client.infer(library().InferRequest("sums", inputs, request_outputs=[wanted("log", as_bytes)]))

    (log,) = talk(served, transport, conversation).outputs
    assert log.shape == [3, 2]
    np.testing.assert_allclose(log.as_numpy(), np.log(2 * values + 2), rtol=1e-6)


@both
def test_it_is_told_what_is_wrong(served, transport):
    async def conversation(client):
        tensor = library().InferInput("tex", [1], "BYTES", data=["a fine film"])
        return await client.infer(library().InferRequest("nlp", [tensor]))

    with pytest.raises(Exception, match="did you mean 'text'"):
        talk(served, transport, conversation)


OWN = ("double_param", "uint64_param")
"""Kinds of parameters that Triton's published messages have and KServe's have not."""


def described(message_type):
    """Fields by name: number, kind, whether repeated, the choice that it belongs to, and the fields of its own message."""
    return {
        field.name: (
            field.number,
            field.type,
            field.is_repeated,
            field.containing_oneof.name if field.containing_oneof else None,
            described(field.message_type) if field.message_type else None,
        )
        for field in message_type.fields
        if field.name not in OWN
    }


# KServe's repository messages are its own: a name and no parameters, where the extension has more
COMPARED = [name for name in MESSAGES if name.endswith(("Request", "Response")) and not name.startswith("Repository")]


@pytest.mark.parametrize("name", COMPARED)
def test_our_messages_are_the_published_ones_field_by_field(name):
    published = library().protocol.grpc.grpc_predict_v2_pb2.DESCRIPTOR
    assert described(message(name).DESCRIPTOR) == described(published.message_types_by_name[name])
