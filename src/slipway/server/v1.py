"""KServe's v1 protocol, which is TensorFlow Serving's: a list of instances in, a list of predictions out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from fastapi import Request, Response

from slipway.errors import RequestError
from slipway.preprocess import Raw
from slipway.protocol import tensors
from slipway.protocol.rest import json_object
from slipway.protocol.tensors import said
from slipway.server.bundle_model import MAX_ITEMS, BundleModel, from_base64
from slipway.server.call import Call
from slipway.server.dataplane import DataPlane
from slipway.server.http import Rest
from slipway.server.v2 import model_of, named

PROTOCOL = "rest_v1"
PREDICT = "/v1/models/{model}:predict"


class V1:
    """The v1 route that answers; models are listed, and say whether they are ready, as by v2."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane, self._rest = plane, Rest(plane)

    async def predict_instances(self, request: Request) -> Response:
        """Answer the instances of one request."""
        return await self._rest.answered(request, PROTOCOL, self._answer, model=named(request)[0])

    def _answer(self, call: Call, body: bytes) -> Response:
        """In a worker thread."""
        model = model_of(call)
        if not isinstance(model, BundleModel):
            raise RequestError(f"model '{model.name}': takes tensors of its own; ask /v2/models/{model.name}/infer")
        with call.timed("parse"):
            items = parse(body, model.input_name)
        labels, probabilities_NK = model.predict(items, call)
        with call.timed("postprocess"):
            rows = zip(labels, probabilities_NK, strict=True)
            answer = {"predictions": [{"probabilities": p_K, "label": label} for label, p_K in rows]}
            content = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(content, media_type="application/json")


def parse(body: bytes, input_name: str) -> Sequence[Raw]:
    """The instances of a request: of texts strings; of images {"b64": …} or pixels [H, W, C]; either below its input's name.

    Raises: RequestError: the body is no such request; the message names the instance.
    """
    instances = json_object(body).get("instances")
    if not isinstance(instances, list) or not instances:
        raise RequestError(f"instances: must be a list of at least one, got {said(instances)}")
    if len(instances) > MAX_ITEMS:
        raise RequestError(f"instances: {len(instances)}, allowed are {MAX_ITEMS} in one request; send several")
    return [_item(instance, input_name, f"instances[{i}]") for i, instance in enumerate(instances)]


def _item(value: Any, input_name: str, where: str) -> Raw:
    if isinstance(value, dict) and len(value) == 1:  # {"image_bytes": {"b64": …}}: TensorFlow Serving's habit
        value = value.get(input_name, value.get(f"{input_name}_bytes", value))
    if isinstance(value, dict) and isinstance(text := value.get("b64"), str):
        return from_base64(text, f"{where}.b64")
    if input_name == "text":
        if isinstance(value, str):
            return value
        raise RequestError(f"{where}: must be a string, got {said(value)}")
    if not isinstance(value, list):
        raise RequestError(f'{where}: must be {{"b64": "…"}} with the bytes of a file, or pixels [H, W, C], got {said(value)}')
    shape = _shape(value)
    if len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
        raise RequestError(f"{where}: pixels are [H, W, C] with C 1 or 3, got shape {shape}")
    pixels = tensors.from_list(value, "UINT8", shape, where)
    assert isinstance(pixels, np.ndarray), "numeric"
    return pixels


def _shape(value: Any) -> list[int]:
    """Of a nested list, by its first entries."""
    found: list[int] = []
    while isinstance(value, list):
        found.append(len(value))
        value = value[0] if value else None
    return found
