import asyncio
import base64
import warnings

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway.server.app import create_app
from slipway.server.models import served_model
from tests.helpers.bundles import FAMILIES, make_items
from tests.helpers.servers import running

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("as_bytes", [False, True], ids=["json", "binary"])
@pytest.mark.parametrize("family", FAMILIES)
def test_kserves_own_client_gets_the_answers_of_bundle_predict(releases, family, as_bytes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of kserve's own imports
        from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
        from kserve.protocol.infer_type import RequestedOutput

    items = make_items(family, 4)
    expected = bundles.load(releases[family]).predict(items)
    name = "text" if family == "nlp" else "image"
    data = [i.decode() if family == "nlp" else base64.b64encode(i).decode() for i in items]

    async def talk(url):
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        try:
            assert await client.is_server_live(url)
            assert await client.is_server_ready(url)
            assert await client.is_model_ready(url, "tiny")
            tensor = InferInput(name, [4], "BYTES", data=None if as_bytes else data)
            if as_bytes:
                tensor.set_data_from_numpy(np.array(items, dtype=np.object_), binary_data=True)
            output = RequestedOutput("probabilities", {"binary_data": as_bytes})
            request = InferRequest("tiny", [tensor], request_id="abc", request_outputs=[output])
            return await client.infer(url, request, model_name="tiny")
        finally:
            await client.close()

    with running(create_app([served_model("tiny", str(releases[family]), version="3")])) as http:
        answer = asyncio.run(talk(str(http.base_url).rstrip("/")))
    assert (answer.id, answer.model_name) == ("abc", "tiny")
    np.testing.assert_array_equal(answer.outputs[0].as_numpy(), expected)
    assert len(answer.outputs) == 1
