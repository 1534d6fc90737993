"""What /openapi.json says of each route: what it takes and gives, with examples, and how it refuses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI

from slipway.protocol.rest import HEADER, REQUEST_ID, TIMEOUT
from slipway.server.http import FORM
from slipway.server.schemas import SCHEMAS, ref

_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR42mNkEIQAJkGKGACW0QQ/5dbbJgAAAABJRU5ErkJggg=="
_ANSWER = {
    "model_name": "cv-digits",
    "model_version": "3f0c2b9a1d4e",
    "id": "42",
    "outputs": [
        {"name": "probabilities", "shape": [1, 2], "datatype": "FP32", "data": [0.9, 0.1]},
        {"name": "label", "shape": [1], "datatype": "BYTES", "data": ["0"]},
    ],
}
REQUESTS: Mapping[str, Any] = {
    "image": {"id": "42", "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [_PNG]}]},
    "pixels": {"inputs": [{"name": "image", "shape": [1, 2, 2, 1], "datatype": "UINT8", "data": [0, 64, 128, 255]}]},
    "text": {
        "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a fine film"]}],
        "outputs": [{"name": "label"}],
    },
    "reasons": {
        "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a fine film"]}],
        "outputs": [{"name": "label"}, {"name": "tokens"}, {"name": "attributions"}],
    },
}
"""Request bodies by what they send."""
PLAIN_REQUESTS: Mapping[str, Any] = {
    ":predict": {"instances": [{"b64": _PNG}]},
    "/predict": {"image_base64": _PNG},
    "/predict_defect_image": {"image_base64": _PNG, "model": "defect-neu-cls"},
    "/predict_text": {"text": "a fine film"},
}
"""Request bodies by route; `model` may be left out where one fits."""
_MODEL = {
    "name": "cv-digits",
    "versions": ["3f0c2b9a1d4e"],
    "platform": "slipway_onnx",
    "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1], "parameters": {"content_type": "base64"}}],
    "outputs": [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2], "parameters": {"labels": ["0", "1"]}},
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
    ],
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Of one route, or of several that differ in what stands before a path's end."""

    answer: str
    """Name of the schema of its answer."""
    example: Any
    """Of an answer."""
    body: str = ""
    """Name of the schema of its request; empty: it takes none."""
    needs_body: bool = True
    examples: Mapping[str, Any] = field(default_factory=dict)
    """Of requests, by name."""
    refusals: tuple[int, ...] = ()
    not_ready: bool = False
    """503 has the same form as an answer."""


_ASKED = (400, 404, 408, 413, 415, 503, 504)
_CHANGED = (400, 403, 404, 408, 413, 415, 503)
_PLAIN = {path: {"one": value} for path, value in PLAIN_REQUESTS.items()}
_INDEX = [{"name": "cv-digits", "version": "3f0c2b9a1d4e", "state": "READY", "reason": ""}]
_CARD = {
    "name": "cv-digits",
    "version": "3f0c2b9a1d4e",
    "labels": ["0", "1"],
    "data": {"name": "digits", "counts": {"train": {"0": 139, "1": 142}}},
    "training": {"best": {"epoch": 5, "val_accuracy": 0.994}},
}
_ABOUT = {"name": "slipway", "version": "0.1.0", "extensions": ["binary_tensor_data", "model_repository"]}
_PREDICTED = {"predictions": [{"probabilities": [0.9, 0.1], "label": "0"}]}
_CLASSIFIED = {"class_index": 0, "class_name": "0", "confidence": 0.9, "probabilities": [0.9, 0.1]}
_INSPECTED = {"prediction": "scratches", "probabilities": {"crazing": 0.1, "scratches": 0.9}}
_LABELLED = {"label": "positive", "score": 0.9, "probs": {"negative": 0.1, "positive": 0.9}}
_READY = {"name": "cv-digits", "ready": True}
_OF_MODEL = Route(answer="ModelMetadata", example=_MODEL, refusals=(404, 503))
ROUTES: Mapping[str, Route] = {
    "/v2": Route(answer="Server", example=_ABOUT),
    "/health/live": Route(answer="Live", example={"live": True}),
    "/health/ready": Route(answer="Ready", example={"ready": True}, not_ready=True),
    "/v2/models": Route(answer="Models", example={"models": ["cv-digits"]}),
    "/v1/models": Route(answer="Models", example={"models": ["cv-digits"]}),
    "{model}": _OF_MODEL,
    "{version}": _OF_MODEL,
    "}/ready": Route(answer="ModelReady", example=_READY, refusals=(404,), not_ready=True),
    "/v1/models/{model}": Route(answer="ModelReady", example=_READY, refusals=(404,), not_ready=True),
    "/infer": Route(answer="InferResponse", example=_ANSWER, body="InferRequest", examples=REQUESTS, refusals=_ASKED),
    "/card": Route(answer="Card", example=_CARD, refusals=(404, 503)),
    "/example": Route(answer="InferRequest", example=REQUESTS["image"], refusals=(404, 503)),
    "/index": Route(
        answer="Index", example=_INDEX, body="IndexRequest", needs_body=False, examples={"ready": {"ready": True}},
        refusals=_CHANGED,
    ),
    "/load": Route(
        answer="Loaded", example={"name": "cv-digits", "version": "3f0c2b9a1d4e"}, body="LoadRequest", needs_body=False,
        examples={"version": {"parameters": {"version": "3f0c2b9a1d4e"}}}, refusals=_CHANGED,
    ),
    "/unload": Route(
        answer="Unloaded", example={"name": "cv-digits"}, body="LoadRequest", needs_body=False, refusals=_CHANGED
    ),
    ":predict": Route(
        answer="Predictions", example=_PREDICTED, body="Instances", examples=_PLAIN[":predict"], refusals=_ASKED
    ),
    "/predict": Route(
        answer="Classified", example=_CLASSIFIED, body="PlainImage", examples=_PLAIN["/predict"], refusals=_ASKED
    ),
    "/predict_defect_image": Route(
        answer="Inspected", example=_INSPECTED, body="PlainImage", examples=_PLAIN["/predict_defect_image"], refusals=_ASKED
    ),
    "/predict_text": Route(
        answer="Labelled", example=_LABELLED, body="PlainText", examples=_PLAIN["/predict_text"], refusals=_ASKED
    ),
    "/health": Route(answer="Health", example={"status": "ok"}, not_ready=True),
}  # fmt: skip
"""By the end of their paths; the longest that fits counts."""
PAGES = {"/": "text/html", "/docs": "text/html", "/metrics": "text/plain", "/v2/models/{model}/card/page": "text/html"}
REFUSALS: Mapping[int, str] = {
    400: "item 0: not an image (5 bytes); allowed: JPEG, PNG, BMP, WEBP, TIFF",
    403: "models: this server loads and unloads none; start it with --store URI",
    404: "model: unknown 'cv-digit'; did you mean 'cv-digits'? Known: cv-digits",
    408: "body: 1024 bytes within 60 s; send it faster",
    413: "body: above the limit of 64 MB; send fewer or smaller items",
    415: "content-type: got 'text/html', allowed: application/json, or application/octet-stream for binary tensors",
    503: "model 'cv-digits' is being loaded; ask /v2/models/cv-digits/ready",
    504: "not answered within the 0.2 s that the request allows",
}
"""An example by status."""
_HEADERS: Mapping[str, Any] = {
    TIMEOUT: {"type": "integer", "minimum": 1, "maximum": 3_600_000},
    REQUEST_ID: {"type": "string", "pattern": "^[!-~]{1,128}$"},
}


def describe(path: str) -> dict[str, Any]:
    """OpenAPI of a route beyond what its function says: parameters, body, answers."""
    names = [name for name in ("model", "version") if f"{{{name}}}" in path]
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    if path in PAGES:
        page = {PAGES[path]: {"schema": {"type": "string"}}}
        refusals = _refusals((404, 503) if names else ())
        return {"parameters": parameters, "responses": {"200": {"description": "OK", "content": page}, **refusals}}
    route = ROUTES[max((end for end in ROUTES if path.endswith(end)), key=len)]
    told: dict[str, Any] = {"application/json": {"schema": ref(route.answer), "example": route.example}}
    responses: dict[str, Any] = {"200": {"description": "OK", "content": told}}
    if route.not_ready:
        responses["503"] = {"description": "Not ready", "content": {"application/json": {"schema": ref(route.answer)}}}
    responses |= _refusals(route.refusals)
    described: dict[str, Any] = {"parameters": parameters, "responses": responses}
    if route.body:
        examples = {name: {"value": value} for name, value in route.examples.items()}
        content: dict[str, Any] = {"application/json": {"schema": ref(route.body), "examples": examples}}
        described["requestBody"] = {"required": route.needs_body, "content": content}
        if route.body == "InferRequest":
            parameters.append(_header(HEADER, {"type": "integer", "minimum": 0}))
            content["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
            told["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
        elif route.body == "PlainImage":
            content[FORM] = {"schema": ref("ImageForm")}
    if 504 in route.refusals:
        parameters.extend(_header(name, schema) for name, schema in _HEADERS.items())
    return described


def _refusals(statuses: Sequence[int]) -> dict[str, Any]:
    return {
        str(status): {
            "description": REFUSALS[status].partition(";")[0],
            "content": {"application/json": {"schema": ref("Error"), "example": {"error": REFUSALS[status]}}},
        }
        for status in statuses
    }


class DescribedApi(FastAPI):
    """An application whose OpenAPI has the schemas that its routes refer to."""

    def openapi(self) -> dict[str, Any]:
        """See FastAPI."""
        told = super().openapi()
        told.setdefault("components", {})["schemas"] = SCHEMAS
        return told


def _header(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": schema}
