"""Requests and answers over HTTP: one JSON object, or the protocol's binary tensor extension, where values stand behind it.

A header says how many bytes the JSON has; each tensor behind it says its own size, `binary_data_size`, in its parameters.
Keys that the protocol does not know are ignored, since its own clients send some (`model_name`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from slipway.errors import RequestError
from slipway.protocol import large, tensors
from slipway.protocol.tensors import Tensor, check_header, said

HEADER = "Inference-Header-Content-Length"
EXTENSION = "binary_tensor_data"
SIZE = "binary_data_size"
TIMEOUT = "X-Request-Timeout-Ms"
"""How long a client waits; later it is answered 504."""
REQUEST_ID = "X-Request-Id"
"""What a request is called in logs; sent back with its answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InferRequest:
    """What a client asks."""

    inputs: Sequence[Tensor]
    """At least one; no two of one name."""
    id: str | None = None
    """To be echoed; None when the client gave none."""
    outputs: Sequence[str] = ()
    """Names, in the order to answer them; empty: what the model gives unasked."""
    binary: frozenset[str] = frozenset()
    """Of these, those whose values are wanted as bytes."""
    all_binary: bool = False
    """Values are wanted as bytes where `outputs` is empty."""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class InferAnswer:
    """What a model says."""

    model: str
    version: str
    outputs: Sequence[Tensor]
    id: str | None = None


def read_request(body: bytes, header: str | None = None) -> InferRequest:
    """The request of a body. `header`: the value of HEADER, if it was sent.

    Raises: RequestError: it is none; the message names the field, what was got and what is allowed.
    """
    length = _json_length(header, len(body))
    whole = memoryview(body)
    request = _request(whole[:length])
    request_id = request.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise RequestError(f"id: must be a string, got {said(request_id)}")
    parameters = _object(request, "parameters")
    behind = None if length is None else whole[length:]
    all_binary = flag(parameters, "binary_data_output", "parameters", default=False)
    outputs = _wanted(request.get("outputs"), default=all_binary)
    return InferRequest(
        id=request_id,
        inputs=_tensors(request.get("inputs"), behind, "inputs"),
        outputs=tuple(outputs),
        binary=frozenset(name for name, wanted in outputs.items() if wanted),
        all_binary=all_binary,
        parameters=parameters,
    )


def write_request(request: InferRequest, *, binary: bool) -> tuple[bytes, int | None]:
    """The body of a request, and how many of its bytes are JSON; None: all. `binary`: values of inputs go as bytes."""
    asked = [{"name": n, **({"parameters": {"binary_data": True}} if n in request.binary else {})} for n in request.outputs]
    parameters = {**request.parameters, **({"binary_data_output": True} if request.all_binary else {})}
    value = {
        **({"id": request.id} if request.id is not None else {}),
        **({"parameters": parameters} if parameters else {}),
        **({"outputs": asked} if asked else {}),
    }
    return _write(value, "inputs", request.inputs, {t.name for t in request.inputs} if binary else set())


def read_answer(body: bytes, header: str | None = None) -> InferAnswer:
    """The answer of a body, as `read_request`. Raises: RequestError: it is none."""
    length = _json_length(header, len(body))
    whole = memoryview(body)
    answer = json_object(whole[:length])
    outputs = _tensors(answer.get("outputs"), None if length is None else whole[length:], "outputs")
    return InferAnswer(
        model=str(answer.get("model_name", "")),
        version=str(answer.get("model_version", "")),
        outputs=outputs,
        id=answer.get("id"),
    )


def write_answer(answer: InferAnswer, request: InferRequest) -> tuple[bytes, int | None]:
    """The body of an answer, and how many of its bytes are JSON; None: all."""
    value: dict[str, Any] = {"model_name": answer.model, "model_version": answer.version}
    if answer.id is not None:
        value["id"] = answer.id
    binary = request.binary if request.outputs else {t.name for t in answer.outputs} if request.all_binary else set()
    return _write(value, "outputs", answer.outputs, binary)


def json_object(body: bytes | memoryview) -> dict[str, Any]:
    """A body that is a JSON object. Raises: RequestError: it is none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise RequestError(f"body: not JSON ({exc}); {len(body)} bytes") from exc
    if not isinstance(found, dict):
        raise RequestError(f"body: must be a JSON object, got {said(found)}")
    return found


def json_values(tensor: Tensor) -> NDArray[Any] | list[str]:
    """A tensor's values as a flat list of JSON, for orjson. Raises: RequestError: one cannot stand there."""
    if isinstance(tensor.values, np.ndarray):
        values = np.ascontiguousarray(tensor.values).reshape(-1)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise RequestError(f"{tensor.name}: NaN and infinite values cannot stand in JSON; ask for them as binary")
        return values.astype(np.float32) if values.dtype == np.float16 else values
    try:
        return [value if isinstance(value, str) else value.decode() for value in tensor.values]
    except UnicodeDecodeError as exc:
        raise RequestError(f"{tensor.name}: bytes that are no UTF-8 text cannot stand in JSON; ask for them as binary") from exc


def _request(body: memoryview) -> dict[str, Any]:
    """As `json_object`; long lists of numbers come as arrays."""
    if len(body) >= large.LARGE_BYTES:
        try:
            found: dict[str, Any] = large.loads(body)
        except ValueError:
            pass  # why: below
        else:
            return found
    return json_object(body)


def _write(value: dict[str, Any], key: str, all_tensors: Sequence[Tensor], binary: Any) -> tuple[bytes, int | None]:
    behind, entries = [], []
    for tensor in all_tensors:
        entry: dict[str, Any] = {"name": tensor.name, "shape": tensor.shape, "datatype": tensor.datatype}
        if tensor.parameters:
            entry["parameters"] = dict(tensor.parameters)
        if tensor.name in binary:
            behind.append(tensor.to_bytes())
            entry["parameters"] = {**tensor.parameters, SIZE: len(behind[-1])}
        else:
            entry["data"] = json_values(tensor)
        entries.append(entry)
    header = orjson.dumps({**value, key: entries}, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([header, *behind]), len(header)) if behind else (header, None)


def _tensors(found: Any, behind: memoryview | None, key: str) -> list[Tensor]:
    if not isinstance(found, list) or not found:
        raise RequestError(f"{key}: must be a list of at least one tensor, got {said(found)}")
    read: dict[str, Tensor] = {}
    at = 0
    for i, entry in enumerate(found):
        where = f"{key}[{i}]"
        if not isinstance(entry, dict):
            raise RequestError(f"{where}: must be an object with name, shape, datatype and data, got {said(entry)}")
        name, datatype, shape = check_header(entry.get("name"), entry.get("datatype"), entry.get("shape"), where)
        data = entry.get("data")
        parameters = _object(entry, f"{where}.parameters")
        if name in read:
            raise RequestError(f"{where}.name: '{name[:80]}' is there twice")
        values: Any
        if (size := parameters.get(SIZE)) is None:
            values = tensors.from_list(data, datatype, shape, f"{where}.data")
        else:
            own = _own_bytes(size, data, None if behind is None else behind[at:], where)
            values = tensors.from_bytes(own, datatype, shape, f"{where}.data")
            at += size
            parameters = {k: v for k, v in parameters.items() if k != SIZE}
        read[name] = Tensor(name, datatype, shape, values, parameters)
    if behind is not None and at != len(behind):
        raise RequestError(f"{key}: {len(behind)} bytes are behind the JSON, {SIZE} of all tensors together {at}")
    return list(read.values())


def _json_length(header: str | None, num_bytes: int) -> int | None:
    if header is None:
        return None
    if not header.isdecimal() or len(header) > 15 or int(header) > num_bytes:
        raise RequestError(f"{HEADER}: must be the JSON's length in bytes, at most {num_bytes}, got '{header[:40]}'")
    return int(header)


def _own_bytes(size: Any, data: Any, left: memoryview | None, where: str) -> memoryview:
    """Of a tensor whose values stand behind the JSON, all of them, and nowhere else."""
    if left is None:
        raise RequestError(f"{where}.parameters.{SIZE}: needs the header {HEADER}, the length of the JSON")
    if data is not None:
        raise RequestError(f"{where}.data: is there as well as {SIZE}; send the values once")
    if type(size) is not int or not 0 <= size <= len(left):
        raise RequestError(f"{where}.parameters.{SIZE}: got {said(size)}, {len(left)} bytes are left behind the JSON")
    return left[:size]


def _wanted(outputs: Any, *, default: bool) -> dict[str, bool]:
    """Names to answer, in order -> whether their values are wanted as bytes; `default`: unless an output says so."""
    if outputs is None:
        return {}
    if not isinstance(outputs, list):
        raise RequestError(f"outputs: must be a list, got {said(outputs)}")
    found: dict[str, bool] = {}
    for i, output in enumerate(outputs):
        where = f"outputs[{i}]"
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str):
            raise RequestError(f"{where}: must be an object with a string `name`, got {said(output)}")
        if name in found:
            raise RequestError(f"{where}.name: '{name[:80]}' is there twice")
        parameters = _object(output, f"{where}.parameters")
        found[name] = flag(parameters, "binary_data", f"{where}.parameters", default=default)
    return found


def flag(parameters: Mapping[str, Any], name: str, where: str, *, default: bool) -> bool:
    """A parameter that is true or false. Raises: RequestError: another value; the message starts with `where`."""
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise RequestError(f"{where}.{name}: must be true or false, got {said(value)}")
    return value


def _object(holder: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestError(f"{where}: must be an object, got {said(parameters)}")
    return parameters
