"""KServe's v1 protocol, which is TensorFlow Serving's: a list of instances in, a list of predictions out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from fastapi import Request, Response

from slipway.errors import RequestError
from slipway.preprocess import Raw
from slipway.protocol import tensors
from slipway.protocol.rest import InferRequest, json_object, json_values
from slipway.protocol.tensors import Tensor, said
from slipway.server.bundle_model import MAX_ITEMS, BundleModel, from_base64
from slipway.server.call import Call
from slipway.server.dataplane import DataPlane
from slipway.server.graph_model import GraphModel, Port
from slipway.server.http import Rest
from slipway.server.models import ServedModel
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
        with call.timed("parse"):
            instances = parse(body)
        predictions = _by_graph(model, instances, call) if isinstance(model, GraphModel) else _by_bundle(model, instances, call)
        with call.timed("postprocess"):
            content = orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(content, media_type="application/json")


def _by_bundle(model: ServedModel, instances: Sequence[Any], call: Call) -> list[Any]:
    assert isinstance(model, BundleModel), "the other kind of models"
    with call.timed("parse"):
        items = [_item(instance, model.input_name, f"instances[{i}]") for i, instance in enumerate(instances)]
    labels, probabilities_NK = model.predict(items, call)
    return [{"probabilities": p_K, "label": label} for label, p_K in zip(labels, probabilities_NK, strict=True)]


def _by_graph(model: GraphModel, instances: Sequence[Any], call: Call) -> list[Any]:
    with call.timed("parse"):
        request = InferRequest(inputs=tensors_of(instances, model.inputs))
    outputs = model.infer(request, call)
    with call.timed("postprocess"):
        return rows_of(outputs, len(instances))


def parse(body: bytes) -> list[Any]:
    """The instances of a request. Raises: RequestError: the body is no such request."""
    instances = json_object(body).get("instances")
    if not isinstance(instances, list) or not instances:
        raise RequestError(f"instances: must be a list of at least one, got {said(instances)}")
    if len(instances) > MAX_ITEMS:
        raise RequestError(f"instances: {len(instances)}, allowed are {MAX_ITEMS} in one request; send several")
    return instances


def tensors_of(instances: Sequence[Any], inputs: Sequence[Port]) -> list[Tensor]:
    """Instances as a graph's inputs, their first axis the instances: values, or objects of values by input.

    Raises: RequestError: one is no such instance, or their shapes differ; the message names the input.
    """
    names = [port.name for port in inputs]
    named = isinstance(instances[0], dict)
    if not named and len(inputs) > 1:
        raise RequestError(f"instances[0]: must be an object with {', '.join(names)}, got {said(instances[0])}")
    for i, instance in enumerate(instances):
        if named and (not isinstance(instance, dict) or {*instance} != {*names}):
            raise RequestError(f"instances[{i}]: must be an object with {', '.join(names)}, got {said(instance)}")
    found: list[Tensor] = []
    for port in inputs:
        values = [instance[port.name] for instance in instances] if named else list(instances)
        shape = _shape(values)
        where = f"instances, '{port.name}'"
        found.append(Tensor(port.name, port.datatype, tuple(shape), tensors.from_list(values, port.datatype, shape, where)))
    return found


def rows_of(outputs: Sequence[Tensor], num_instances: int) -> list[Any]:
    """Outputs as predictions, one an instance: its values, or of several outputs objects of values by output.

    Raises: RequestError: an output does not have the instances as its first axis.
    """
    columns: dict[str, list[Any]] = {}
    for tensor in outputs:
        if tensor.shape[:1] != (num_instances,):
            told = f"outputs: '{tensor.name}' has shape {list(tensor.shape)}"
            raise RequestError(f"{told} for {num_instances} instances, no row for each; ask by v2")
        values = json_values(tensor)
        array = values if isinstance(values, np.ndarray) else np.array(values, object)
        columns[tensor.name] = array.reshape(tensor.shape).tolist()
    if len(columns) == 1:
        return next(iter(columns.values()))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _item(value: Any, input_name: str, where: str) -> Raw:
    """A text as a string; an image as {"b64": …} or pixels [H, W, C]; either may stand below its input's name."""
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
