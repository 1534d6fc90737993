"""KServe's v1 protocol, which is TensorFlow Serving's: a list of instances in, a list of predictions out."""

from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import Request, Response

from slipway.errors import RequestError
from slipway.preprocess import Raw
from slipway.server import codec
from slipway.server.v2 import V2, Call

PROTOCOL = "rest_v1"
PREDICT = "/v1/models/{model}:predict"


class V1:
    """The v1 route that answers; models are listed, and say whether they are ready, as by v2."""

    def __init__(self, v2: V2) -> None:
        """`v2`: whose way of a request these take, too."""
        self._v2 = v2

    async def predict_instances(self, request: Request) -> Response:
        """Answer the instances of one request."""
        call = Call(PROTOCOL, self._v2.models.get(request.path_params["model"]))
        return await self._v2.answered(request, call, lambda: self._v2.loaded(request), self._answer)

    def _answer(self, call: Call, body: bytes) -> Response:
        """In a worker thread."""
        model = call.model
        assert model is not None and model.bundle is not None, "checked by loaded"  # noqa: PT018
        with call.timed("parse"):
            items = parse(body, model.bundle.preprocess.input_name)
        labels, probabilities_NK = model.predict(items, call.add)
        with call.timed("postprocess"):
            rows = zip(labels, probabilities_NK, strict=True)
            answer = {"predictions": [{"probabilities": p_K, "label": label} for label, p_K in rows]}
            content = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        self._v2.observe(call, labels, probabilities_NK)
        return Response(content, media_type="application/json")


def parse(body: bytes, input_name: str) -> Sequence[Raw]:
    """The instances of a request: of texts strings; of images {"b64": …} or pixels [H, W, C]; either below its input's name.

    Raises: RequestError: the body is no such request; the message names the instance.
    """
    instances = codec.json_object(body).get("instances")
    if not isinstance(instances, list) or not instances:
        raise RequestError(f"instances: must be a list of at least one, got {codec.kind(instances)}")
    if len(instances) > codec.MAX_ITEMS:
        raise RequestError(f"instances: {len(instances)}, allowed are {codec.MAX_ITEMS} in one request; send several")
    return [_item(instance, input_name, f"instances[{i}]") for i, instance in enumerate(instances)]


def _item(value: Any, input_name: str, where: str) -> Raw:
    if isinstance(value, dict) and len(value) == 1:  # {"image_bytes": {"b64": …}}: TensorFlow Serving's habit
        value = value.get(input_name, value.get(f"{input_name}_bytes", value))
    if isinstance(value, dict) and isinstance(text := value.get("b64"), str):
        return codec.from_base64(text, f"{where}.b64")
    if input_name == "text":
        if isinstance(value, str):
            return value
        raise RequestError(f"{where}: must be a string, got {codec.kind(value)}")
    if not isinstance(value, list):
        raise RequestError(
            f'{where}: must be {{"b64": "…"}} with the bytes of a file, or pixels [H, W, C], got {codec.kind(value)}'
        )
    pixels = codec.uint8(value, where)
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or not pixels.size:
        raise RequestError(f"{where}: pixels are [H, W, C] with C 1 or 3, got shape {list(pixels.shape)}")
    return pixels
