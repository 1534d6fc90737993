"""OpenAPI's schemas of what the routes take and give: the names that generated clients know the protocol's objects by."""

from collections.abc import Mapping, Sequence
from typing import Any

from slipway.protocol.rest import SIZE
from slipway.protocol.tensors import DATATYPES, MAX_AXES

Schema = Mapping[str, Any]


def ref(name: str) -> Schema:
    """A reference to one of SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Mapping[str, Schema], required: Sequence[str], about: str = "") -> Schema:
    said = {"description": about} if about else {}
    return {"type": "object", **said, "properties": properties, "required": [*required]}


def _list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


_STRING: Schema = {"type": "string"}
_BOOL: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}
_STRINGS = _list(_STRING)
_PARAMETERS: Schema = {"type": "object", "additionalProperties": True}
_DATATYPE: Schema = {"type": "string", "enum": [*DATATYPES]}
_NAME: Schema = {"type": "string", "minLength": 1}
_DATA = _list({}, description="Values in row-major order, flat or nested as `shape` says.")
_SHAPE = _list({"type": "integer", "minimum": 0}, maxItems=MAX_AXES)
_PORT_SHAPE = _list({"type": "integer", "minimum": -1}, description="-1: any length.")
_TENSOR = {"name": _NAME, "datatype": _DATATYPE, "shape": _SHAPE, "data": _DATA}
_INPUT_PARAMETERS = _object(
    {
        "content_type": {"type": "string", "description": "What the strings of BYTES are: `base64` of a file, or `str`."},
        SIZE: {"type": "integer", "minimum": 0, "description": "Bytes behind the JSON, in place of `data`."},
    },
    [],
)
_PORT = {"name": _STRING, "datatype": _DATATYPE, "shape": _PORT_SHAPE, "parameters": _PARAMETERS}
_READY = {"name": _STRING, "ready": _BOOL}
_PROBABILITIES: Schema = {"type": "object", "additionalProperties": _NUMBER}

SCHEMAS: Mapping[str, Schema] = {
    "Error": _object({"error": _STRING}, ["error"], "What, where, what it got, what is allowed: one line."),
    "InferRequest": _object(
        {
            "id": {"type": "string", "description": "Comes back with the answer."},
            "parameters": _object({"binary_data_output": {**_BOOL, "description": "Answer in bytes behind the JSON."}}, []),
            "inputs": _list(ref("InputTensor"), minItems=1),
            "outputs": _list(ref("RequestedOutput"), description="Which to answer, in that order; else the usual ones."),
        },
        ["inputs"],
    ),
    "InputTensor": _object({**_TENSOR, "parameters": _INPUT_PARAMETERS}, ["name", "datatype", "shape"]),
    "RequestedOutput": _object({"name": _STRING, "parameters": _object({"binary_data": _BOOL}, [])}, ["name"]),
    "InferResponse": _object(
        {
            "model_name": _STRING,
            "model_version": _STRING,
            "id": _STRING,
            "outputs": _list(ref("OutputTensor")),
        },
        ["model_name", "model_version", "outputs"],
    ),
    "OutputTensor": _object({**_TENSOR, "parameters": _PARAMETERS}, ["name", "datatype", "shape"]),
    "Server": _object({"name": _STRING, "version": _STRING, "extensions": _STRINGS}, ["name", "version", "extensions"]),
    "Live": _object({"live": _BOOL}, ["live"]),
    "Ready": _object({"ready": _BOOL}, ["ready"]),
    "ModelReady": _object(_READY, [*_READY]),
    "Models": _object({"models": _STRINGS}, ["models"]),
    "Port": _object(_PORT, ["name", "datatype", "shape"]),
    "ModelMetadata": _object(
        {
            "name": _STRING,
            "versions": _STRINGS,
            "platform": _STRING,
            "inputs": _list(ref("Port")),
            "outputs": _list(ref("Port")),
            "parameters": _PARAMETERS,
        },
        ["name", "versions", "platform", "inputs", "outputs"],
    ),
    "Card": _object({"name": _STRING, "version": _STRING, "digest": _STRING, "family": _STRING}, ["name", "version"]),
    "IndexRequest": _object({"ready": {**_BOOL, "description": "List those alone that answer."}}, []),
    "Index": _list(
        _object(
            {
                "name": _STRING,
                "version": _STRING,
                "state": {"type": "string", "enum": ["READY", "LOADING", "UNAVAILABLE"]},
                "reason": _STRING,
            },
            ["name", "version", "state", "reason"],
        )
    ),
    "LoadRequest": _object(
        {"parameters": _object({"version": {"type": "string", "description": "The start of a release's digest."}}, [])}, []
    ),
    "Loaded": _object({"name": _STRING, "version": _STRING}, ["name", "version"]),
    "Unloaded": _object({"name": _STRING}, ["name"]),
    "Instances": _object(
        {
            "instances": _list(
                {},
                minItems=1,
                description='Texts; or images, {"b64": "…"} or pixels [H, W, C]; or of an ONNX file rows of its input, '
                "objects of them by input where it has several.",
            )
        },
        ["instances"],
    ),
    "Predictions": _object(
        {
            "predictions": _list(
                {},
                description="One an instance: an object with `probabilities` and `label`; or of an ONNX file the row of its "
                "output, an object of them by output where it has several.",
            )
        },
        ["predictions"],
    ),
    "PlainImage": _object(
        {"image_base64": _STRING, "model": _STRING, "run_id": _STRING}, ["image_base64"], "A file in base64 or a data: URL."
    ),
    "ImageForm": _object(
        {"file": {"type": "string", "format": "binary"}, "model": _STRING, "run_id": _STRING},
        ["file"],
        "As `curl -F` sends it.",
    ),
    "PlainText": _object({"text": _STRING, "model": _STRING, "run_id": _STRING}, ["text"]),
    "Classified": _object(
        {
            "class_index": {"type": "integer"},
            "class_name": _STRING,
            "confidence": _NUMBER,
            "probabilities": _list(_NUMBER),
        },
        ["class_index", "class_name", "confidence", "probabilities"],
    ),
    "Inspected": _object({"prediction": _STRING, "probabilities": _PROBABILITIES}, ["prediction", "probabilities"]),
    "Labelled": _object({"label": _STRING, "score": _NUMBER, "probs": _PROBABILITIES}, ["label", "score", "probs"]),
    "Health": _object({"status": {"type": "string", "enum": ["ok", "not ready"]}}, ["status"]),
}
"""By name."""
