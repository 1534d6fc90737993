"""Requests and answers over gRPC: messages to tensors and back, with typed or raw contents."""

# raw: every tensor's values as bytes beside the tensors; typed: as a list of the tensor's data type inside each

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.errors import RequestError
from slipway.protocol import tensors
from slipway.protocol.messages import message
from slipway.protocol.rest import InferAnswer, InferRequest
from slipway.protocol.tensors import BYTES, Tensor, check_header

TYPED: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
"""Data type -> the field of typed contents that holds its values; FP16 has none."""

_FIELDS = {
    **{"bool_contents": "?", "int_contents": "<i4", "int64_contents": "<i8", "uint_contents": "<u4"},
    **{"uint64_contents": "<u8", "fp32_contents": "<f4", "fp64_contents": "<f8"},
}
"""Of typed contents -> numpy's name of what it holds; of a list of large whole numbers numpy itself would make floats."""


def read_request(sent: Any) -> InferRequest:
    """The request of a ModelInferRequest. Raises: RequestError: its tensors are not what they say."""
    outputs = [output.name for output in sent.outputs]
    if len(set(outputs)) < len(outputs):
        raise RequestError(f"outputs: one is there twice; got {', '.join(outputs)[:80]}")
    return InferRequest(
        id=sent.id or None,
        inputs=_tensors(sent.inputs, sent.raw_input_contents, "inputs", "raw_input_contents"),
        outputs=tuple(outputs),
        all_binary=bool(sent.raw_input_contents),
        parameters=_parameters(sent.parameters),
    )


def write_request(request: InferRequest, *, model: str, version: str = "") -> Any:
    """A ModelInferRequest, with raw contents."""
    made = message("ModelInferRequest")(model_name=model, model_version=version, id=request.id or "")
    for tensor in request.inputs:
        made.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        made.raw_input_contents.append(tensor.to_bytes())
    for name in request.outputs:
        made.outputs.add(name=name)
    return made


def read_answer(sent: Any) -> InferAnswer:
    """The answer of a ModelInferResponse. Raises: RequestError: its tensors are not what they say."""
    found = _tensors(sent.outputs, sent.raw_output_contents, "outputs", "raw_output_contents")
    return InferAnswer(model=sent.model_name, version=sent.model_version, outputs=found, id=sent.id or None)


def write_answer(answer: InferAnswer, *, raw: bool) -> Any:
    """A ModelInferResponse. `raw`: contents as in the request; FP16 values are raw in any case, and then all are."""
    raw = raw or any(tensor.datatype not in TYPED for tensor in answer.outputs)
    made = message("ModelInferResponse")(model_name=answer.model, model_version=answer.version, id=answer.id or "")
    for tensor in answer.outputs:
        output = made.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if raw:
            made.raw_output_contents.append(tensor.to_bytes())
        elif isinstance(tensor.values, np.ndarray):
            getattr(output.contents, TYPED[tensor.datatype]).extend(tensor.values.ravel().tolist())
        else:
            output.contents.bytes_contents.extend(v.encode() if isinstance(v, str) else v for v in tensor.values)
    return made


def _tensors(sent: Any, raw: Sequence[bytes], key: str, raw_key: str) -> list[Tensor]:
    if not sent:
        raise RequestError(f"{key}: must have at least one tensor")
    if raw and len(raw) != len(sent):
        raise RequestError(f"{raw_key}: {len(raw)} for {len(sent)} tensors; send one for each, or none and typed contents")
    found: dict[str, Tensor] = {}
    for i, tensor in enumerate(sent):
        where = f"{key}[{i}]"
        _, _, shape = check_header(tensor.name, tensor.datatype, list(tensor.shape), where)
        if tensor.name in found:
            raise RequestError(f"{where}.name: '{tensor.name[:80]}' is there twice")
        if raw:
            if tensor.HasField("contents"):
                raise RequestError(f"{where}.contents: is there as well as {raw_key}; send the values once")
            values = tensors.from_bytes(memoryview(raw[i]), tensor.datatype, shape, f"{raw_key}[{i}]")
        else:
            values = _typed(tensor.contents, tensor.datatype, shape, f"{where}.contents")
        found[tensor.name] = Tensor(tensor.name, tensor.datatype, shape, values, _parameters(tensor.parameters))
    return list(found.values())


def _typed(contents: Any, datatype: str, shape: Sequence[int], where: str) -> NDArray[Any] | list[bytes]:
    if datatype not in TYPED:
        raise RequestError(f"{where}: {datatype} has no typed contents; send raw_input_contents")
    filled = [field.name for field, _ in contents.ListFields()]
    if filled and filled != [TYPED[datatype]]:
        raise RequestError(f"{where}: {datatype} values belong in {TYPED[datatype]}, got {', '.join(filled)}")
    sent = getattr(contents, TYPED[datatype])
    if len(sent) != prod(shape):
        raise RequestError(f"{where}.{TYPED[datatype]}: {len(sent)} values, but shape {list(shape)} says {prod(shape)}")
    if datatype == BYTES:
        return list(sent)
    wide = np.array(sent, _FIELDS[TYPED[datatype]])
    return tensors.narrowed(wide, datatype, f"{where}.{TYPED[datatype]}").reshape(shape)


def _parameters(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> value of those that say one."""
    return {name: getattr(p, choice) for name, p in sent.items() if (choice := p.WhichOneof("parameter_choice"))}
