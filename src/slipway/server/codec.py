"""The Open Inference Protocol (v2) over REST: a request's bytes to raw items, probabilities to a response's bytes.

Two forms of input, named as the bundle names it:
    BYTES [N]           `image`: base64 of the encoded file (JSON has no bytes); `text`: the text itself
    UINT8 [N, H, W, C]  `image` only: pixels, as a flat or nested list; C is 1 or 3
Both may stand behind the JSON instead (see `binary`): the encoded files, texts or pixels as they are.
Keys that the protocol does not know are ignored, since its own clients send some (`model_name`).
"""

# N items, K classes, H/W px, C channels

import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from slipway.errors import RequestError, unknown
from slipway.explain.explanation import Explanation
from slipway.preprocess import Raw
from slipway.server import binary

OUTPUTS = ("probabilities", "label")
EXPLAINED: Mapping[str, Mapping[str, tuple[str, int]]] = {
    "image": {"heatmap": ("FP32", 3)},
    "text": {"tokens": ("BYTES", 2), "attributions": ("FP32", 2)},
}
"""Outputs that are given on request only, by input: why the label was answered. Their data types and numbers of axes."""
MAX_EXPLAINED = 16
"""Items of a request that asks for them: one may cost as much as hundreds of answers."""
MAX_ITEMS = 1024
"""Of one request: with more, one client would hold a worker thread for long."""
MAX_PIXELS = 40_000_000
"""Of one item given as pixels, as for encoded images."""
CONTENT_TYPES = {"image": ("base64",), "text": ("str", "base64")}
"""Values of the input parameter `content_type`; the first is the default."""
SLICE = 1 << 20
"""Values converted at a time: between slices other threads, and so the health probes, get their turn."""


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A valid request."""

    id: str | None
    """To be echoed; None when the client gave none."""
    items: Sequence[Raw]
    """1 to MAX_ITEMS raw items; pixels come as one uint8 array [N, H, W, C]."""
    outputs: tuple[str, ...]
    """Names to answer, in the order asked for."""
    binary: frozenset[str] = frozenset()
    """Of them, those whose values are wanted behind the JSON."""

    @property
    def explained(self) -> bool:
        """Whether it asks why, too."""
        return not set(self.outputs) <= set(OUTPUTS)


def parse(body: bytes, input_name: str, *, header: str | None = None) -> InferRequest:
    """A request for a model whose input is `input_name`.

    Args:
        header: the value of `binary.HEADER`, if it was sent.
    Raises: RequestError: the body is not such a request; the message names the field, what was got and what is allowed.
    """
    length = binary.json_length(header, len(body))
    whole = memoryview(body)
    request = json_object(whole[:length])
    request_id = request.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise RequestError(f"id: must be a string, got {kind(request_id)}")
    parameters = _parameters(request, "parameters")
    behind = None if length is None else whole[length:]
    items = _items(request.get("inputs"), input_name, behind)
    everything = _flag(parameters, "binary_data_output", "parameters", default=False)
    outputs = _outputs(request.get("outputs"), input_name, everything)
    found = InferRequest(request_id, items, tuple(outputs), frozenset(name for name, yes in outputs.items() if yes))
    if found.explained and len(items) > MAX_EXPLAINED:
        raise RequestError(
            f"inputs[0].shape: {len(items)} items, allowed are {MAX_EXPLAINED} in a request for "
            f"{' or '.join(EXPLAINED[input_name])}; send several"
        )
    return found


def json_object(body: bytes | memoryview) -> dict[str, Any]:
    """A body that is a JSON object. Raises: RequestError: it is none."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise RequestError(f"body: not JSON ({exc}); {len(body)} bytes") from exc
    if not isinstance(found, dict):
        raise RequestError(f"body: must be a JSON object, got {kind(found)}")
    return found


def respond(
    request: InferRequest,
    *,
    model: str,
    version: str,
    labels: Sequence[str],
    probabilities_NK: NDArray[np.float32],
    explanations: Sequence[Explanation] = (),
) -> tuple[bytes, int | None]:
    """The requested outputs, in the order asked for: the answer's bytes, and how many of them are JSON; None: all.

    Args:
        labels: one per item, the class of the largest probability.
        explanations: one per item, of that class, if the request asks for them. Texts of fewer tokens than the longest
            are filled with empty tokens of attribution 0.
    """
    tensors = {"probabilities": _floats(probabilities_NK), "label": _strings([len(labels)], list(labels))}
    if explanations and explanations[0].heatmap_HW is not None:
        tensors["heatmap"] = _floats(np.stack([e.heatmap_HW for e in explanations if e.heatmap_HW is not None]))
    elif explanations:
        most = max(len(e.tokens) for e in explanations)
        rows = [[t.text for t in e.tokens] + [""] * (most - len(e.tokens)) for e in explanations]
        tensors["tokens"] = _strings([len(rows), most], [token for row in rows for token in row])
        values = [np.pad(e.attributions_T, (0, most - len(e.tokens))) for e in explanations if e.attributions_T is not None]
        tensors["attributions"] = _floats(np.stack(values))
    answer: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        answer["id"] = request.id
    behind = [_behind(tensors[name]) for name in request.outputs if name in request.binary]
    answer["outputs"] = [{"name": name, **tensors[name]} for name in request.outputs]
    header = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([header, *behind]), len(header)) if behind else (header, None)


def _behind(tensor: dict[str, Any]) -> bytes:
    """Take the values out of a tensor's JSON: the bytes that stand behind it instead."""
    data = tensor.pop("data")
    values = binary.pack_strings(data) if tensor["datatype"] == "BYTES" else data.astype("<f4").tobytes()
    tensor["parameters"] = {binary.SIZE: len(values)}
    return values


def _floats(values: NDArray[np.float32]) -> dict[str, Any]:
    return {"shape": list(values.shape), "datatype": "FP32", "data": np.ascontiguousarray(values).reshape(-1)}


def _strings(shape: list[int], values: list[str]) -> dict[str, Any]:
    return {"shape": shape, "datatype": "BYTES", "data": values}


def _items(inputs: Any, input_name: str, behind: memoryview | None) -> Sequence[Raw]:
    if not isinstance(inputs, list) or not inputs:
        raise RequestError(f"inputs: must be a list with one tensor, '{input_name}', got {kind(inputs)}")
    names = [_tensor_name(tensor, f"inputs[{i}]") for i, tensor in enumerate(inputs)]
    for i, name in enumerate(names):
        if name != input_name:
            raise RequestError(unknown(f"inputs[{i}].name", name[:80], [input_name]))
    if len(inputs) > 1:
        raise RequestError(f"inputs: '{input_name}' is there {len(inputs)} times, allowed is once")
    tensor, where = inputs[0], "inputs[0]"
    shape, data, datatype = tensor.get("shape"), tensor.get("data"), tensor.get("datatype")
    if not isinstance(shape, list) or not shape or not all(type(n) is int and n >= 0 for n in shape):
        raise RequestError(f"{where}.shape: must be a list of whole numbers >= 0, got {_short(shape)}")
    parameters = _parameters(tensor, f"{where}.parameters")
    if (size := parameters.get(binary.SIZE)) is not None:
        _check_behind(size, data, behind, where)
    elif behind:
        raise RequestError(f"{where}.parameters.{binary.SIZE}: is not there, but {len(behind)} bytes are behind the JSON")
    elif not isinstance(data, list):
        raise RequestError(f"{where}.data: must be a list, got {kind(data)}")
    if shape[0] > MAX_ITEMS:
        raise RequestError(f"{where}.shape: {shape[0]} items, allowed are {MAX_ITEMS} in one request; send several")
    if datatype == "BYTES":
        _check_shape(shape, "[N]", ok=len(shape) == 1, where=where)
        if size is not None:
            return binary.unpack_strings(cast("memoryview", behind), shape[0], where)
        return _byte_items(data, shape[0], input_name, parameters, where)
    if datatype == "UINT8" and input_name == "image":
        _check_shape(shape, "[N, H, W, C] with C 1 or 3", ok=len(shape) == 4 and shape[3] in (1, 3), where=where)
        if size is not None and size != prod(shape):
            raise RequestError(f"{where}.parameters.{binary.SIZE}: {size} bytes, but shape {_short(shape)} says {prod(shape)}")
        _check_pixels(shape, where)
        if size is None:
            return cast("Sequence[Raw]", _pixels(data, shape, where))
        return cast("Sequence[Raw]", np.frombuffer(cast("memoryview", behind), np.uint8).reshape(shape))
    allowed = "BYTES [N] or UINT8 [N, H, W, C]" if input_name == "image" else "BYTES [N]"
    raise RequestError(f"{where}.datatype: got {_short(datatype)}, allowed for '{input_name}': {allowed}")


def _tensor_name(tensor: Any, where: str) -> str:
    name = tensor.get("name") if isinstance(tensor, dict) else None
    if not isinstance(name, str):
        raise RequestError(f"{where}: must be an object with a string `name`, got {_short(tensor)}")
    return name


def _check_shape(shape: list[int], allowed: str, *, ok: bool, where: str) -> None:
    if not ok:
        raise RequestError(f"{where}.shape: got {_short(shape)}, allowed {allowed}")
    if 0 in shape:
        raise RequestError(f"{where}.shape: empty batch or image, got {_short(shape)}; send at least one item")


def _byte_items(
    data: list[Any], num_items: int, input_name: str, parameters: Mapping[str, Any], where: str
) -> list[bytes] | list[str]:
    if len(data) != num_items:
        raise RequestError(f"{where}.data: {len(data)} items, but shape says {num_items}")
    for i, item in enumerate(data):
        if not isinstance(item, str):
            raise RequestError(f"{where}.data[{i}]: must be a string, got {kind(item)}")
    allowed = CONTENT_TYPES[input_name]
    content_type = parameters.get("content_type", allowed[0])
    if content_type not in allowed:
        raise RequestError(f"{where}.parameters.content_type: got {_short(content_type)}, allowed: {', '.join(allowed)}")
    if content_type == "str":
        return data
    return [from_base64(item, f"{where}.data[{i}]") for i, item in enumerate(data)]


def _check_behind(size: Any, data: Any, behind: memoryview | None, where: str) -> None:
    """A tensor whose values stand behind the JSON, all of them, and nowhere else."""
    if behind is None:
        raise RequestError(f"{where}.parameters.{binary.SIZE}: needs the header {binary.HEADER}, the length of the JSON")
    if data is not None:
        raise RequestError(f"{where}.data: is there as well as {binary.SIZE}; send the values once")
    if type(size) is not int or size != len(behind):
        raise RequestError(f"{where}.parameters.{binary.SIZE}: got {_short(size)}, {len(behind)} bytes are behind the JSON")


def _flag(parameters: Mapping[str, Any], name: str, where: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise RequestError(f"{where}.{name}: must be true or false, got {_short(value)}")
    return value


def _check_pixels(shape: list[int], where: str) -> None:
    if prod(shape[1:]) > MAX_PIXELS * 3:
        raise RequestError(
            f"{where}.shape: {shape[2]}x{shape[1]} px is above the limit of {MAX_PIXELS // 1_000_000} megapixels"
        )


def from_base64(text: str, where: str) -> bytes:
    """The bytes of a file. Raises: RequestError: not base64; the message starts with `where`."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as exc:  # binascii.Error, or text that is not ASCII
        raise RequestError(f"{where}: not base64 ({exc}); the bytes of the file belong there, base64-encoded") from exc


def _pixels(data: list[Any], shape: list[int], where: str) -> NDArray[np.uint8]:
    nested = isinstance(data[0], list) if data else False
    if len(data) != (shape[0] if nested else prod(shape)):
        raise RequestError(f"{where}.data: {len(data)} entries, but shape {_short(shape)} says {prod(shape)} values")
    step = 1 if nested else SLICE
    parts = []
    for start in range(0, len(data), step):
        part = uint8(data[start : start + step], f"{where}.data", start)
        if nested and list(part.shape[1:]) != shape[1:]:
            raise RequestError(f"{where}.data[{start}]: has shape {list(part.shape[1:])}, but shape says {shape[1:]}")
        parts.append(part)
    return np.concatenate(parts).reshape(shape)


def uint8(values: list[Any], where: str, offset: int = 0) -> NDArray[np.uint8]:
    """A list, flat or nested evenly, of whole numbers of 0 to 255. Raises: RequestError: it is none.

    Args:
        offset: position of the first value, for messages, which start with `where`.
    """
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError, TypeError) as exc:
        raise RequestError(f"{where}[{offset}]: lists of unequal length, or nested too deep ({exc})") from exc
    if array.dtype.kind not in "iu":
        raise RequestError(f"{where}: must hold whole numbers only, got {array.dtype.name} from index {offset} on")
    outside = (array < 0) | (array > 255)
    if outside.any():
        worst = array[outside].flat[0]
        raise RequestError(f"{where}: UINT8 values are 0 to 255, got {worst} from index {offset} on")
    return array.astype(np.uint8)


def _outputs(outputs: Any, input_name: str, everything: bool) -> dict[str, bool]:
    """Names to answer, in order -> whether their values are wanted behind the JSON; `everything`: unless an output says so."""
    if outputs is None or outputs == []:
        return dict.fromkeys(OUTPUTS, everything)
    if not isinstance(outputs, list):
        raise RequestError(f"outputs: must be a list, got {kind(outputs)}")
    found: dict[str, bool] = {}
    for i, output in enumerate(outputs):
        where = f"outputs[{i}]"
        name = _tensor_name(output, where)
        if name not in (allowed := (*OUTPUTS, *EXPLAINED[input_name])):
            raise RequestError(unknown(f"{where}.name", name[:80], allowed))
        if name in found:
            raise RequestError(f"{where}.name: '{name}' is there twice")
        found[name] = _flag(
            _parameters(output, f"{where}.parameters"), "binary_data", f"{where}.parameters", default=everything
        )
    return found


def _parameters(holder: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    parameters = holder.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise RequestError(f"{where}: must be an object, got {kind(parameters)}")
    return parameters


def kind(value: Any) -> str:
    """What a JSON value is, for people."""
    if value is None:
        return "nothing"
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return "an empty list" if value == [] else names[type(value)]


def _short(value: Any) -> str:
    """A value of the client's, short enough for one line."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return f"an object with {', '.join(sorted(value)[:5])[:80] or 'nothing in it'}"
    if isinstance(value, list) and len(value) > 8:
        return f"a list of {len(value)}"
    text = (
        orjson.dumps(value).decode()
        if not isinstance(value, list) or not any(isinstance(v, list | dict) for v in value)
        else ""
    )
    return (text if len(text) <= 80 else f"{text[:77]}...") or "a nested list"
