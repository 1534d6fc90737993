"""What /openapi.json and /docs say: examples of every route, on a page that loads nothing from anywhere."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from slipway.server.bundle_model import BundleModel
from slipway.server.models import ServedModel

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
_ANSWERS: Mapping[str, Any] = {
    "/v2": {"name": "slipway", "version": "0.1.0", "extensions": ["binary_tensor_data"]},
    "/live": {"live": True},
    "/health/ready": {"ready": True},
    "/v2/models": {"models": ["cv-digits"]},
    "/ready": {"name": "cv-digits", "ready": True},
    "/health": {"status": "ok"},
    "/v1/models": {"models": ["cv-digits"]},
    "/v1/models/{model}": {"name": "cv-digits", "ready": True},
    ":predict": {"predictions": [{"probabilities": [0.9, 0.1], "label": "0"}]},
    "/predict": {"class_index": 0, "class_name": "0", "confidence": 0.9, "probabilities": [0.9, 0.1]},
    "/predict_defect_image": {"prediction": "scratches", "probabilities": {"crazing": 0.1, "scratches": 0.9}},
    "/predict_text": {"label": "positive", "score": 0.9, "probs": {"negative": 0.1, "positive": 0.9}},
    "/infer": _ANSWER,
    "/card": {
        "name": "cv-digits",
        "version": "3f0c2b9a1d4e",
        "labels": ["0", "1"],
        "data": {"name": "digits", "counts": {"train": {"0": 139, "1": 142}}},
        "training": {"best": {"epoch": 5, "val_accuracy": 0.994}},
    },
    "/example": {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [_PNG]}]},
    "{model}": _MODEL,
    "{version}": _MODEL,
}
_ERRORS = {
    "/infer": {
        "400": "item 0: not an image (5 bytes); allowed: JPEG, PNG, BMP, WEBP, TIFF",
        "404": "model: unknown 'cv-digit'; did you mean 'cv-digits'? Known: cv-digits",
        "413": "body: above the limit of 64 MB; send fewer or smaller items",
        "503": "model 'cv-digits' is being loaded; ask /v2/models/cv-digits/ready",
    }
}
MAX_EXAMPLE_CHARS = 10_000
"""Of a model's own request on the page; a longer one is asked from the server."""
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
pre{background:#f3f4f6;padding:.75rem;overflow-x:auto;font-size:13px;border-radius:4px}summary{cursor:pointer;padding:.3rem 0}
code{font-size:14px}b.m{display:inline-block;width:3.5rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0}
@media(prefers-color-scheme:dark){body{background:#15181c;color:#dde1e6}pre{background:#22272e}a{color:#7ab7ff}}"""


def describe(path: str) -> dict[str, Any]:
    """OpenAPI of a route beyond what its function says: parameters, body, answers."""
    extra: dict[str, Any] = {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in ("model", "version")
            if f"{{{name}}}" in path
        ]
    }
    ending = next((end for end in sorted(_ANSWERS, key=len, reverse=True) if path.endswith(end)), None)
    if ending is None:
        return extra
    content = {"application/json": {"example": _ANSWERS[ending]}}
    extra["responses"] = {"200": {"description": "OK", "content": content}}
    for status, message in _ERRORS.get(ending, {}).items():
        content = {"application/json": {"example": {"error": message}}}
        extra["responses"][status] = {"description": message.partition(";")[0], "content": content}
    if ending == "/infer":
        examples = {name: {"value": value} for name, value in REQUESTS.items()}
        schema = {"type": "object", "required": ["inputs"]}
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}
    elif ending in PLAIN_REQUESTS:
        content = {"application/json": {"schema": {"type": "object"}, "examples": {"one": {"value": PLAIN_REQUESTS[ending]}}}}
        if "image_base64" in PLAIN_REQUESTS[ending]:
            file = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            content["multipart/form-data"] = {"schema": file}
        extra["requestBody"] = {"required": True, "content": content}
    return extra


def page(openapi: Mapping[str, Any], models: Sequence[ServedModel], *, base_url: str) -> str:
    """HTML: each model with a request that works, then every route with examples.

    `base_url`: where the reader reached this server, without a slash at its end.
    """
    parts = [*(_model(model, base_url) for model in models), "<h2>Routes</h2>"]
    for path, operations in openapi["paths"].items():
        parts.extend(_route(method.upper(), path, operation) for method, operation in operations.items())
    title = escape(f"{openapi['info']['title']} {openapi['info']['version']}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<link rel="icon" href="data:,">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f'<p>Open Inference Protocol (v2) in JSON · <a href="./">playground</a> · <a href="openapi.json">openapi.json</a>'
        f' · <a href="metrics">metrics</a></p>'
        f"{''.join(parts)}</body></html>"
    )


def _model(model: ServedModel, base_url: str) -> str:
    name = escape(model.name)
    if not model.ready:
        return f"<h2>{name}</h2><p>Being loaded.</p>"
    body = json.dumps(model.example(), ensure_ascii=False).replace("'", "\\u0027")
    url = f"{base_url}/v2/models/{model.name}"
    ask = f"curl -s {url}/infer -H 'Content-Type: application/json' -d "
    command = f"{ask}'{body}'" if len(body) <= MAX_EXAMPLE_CHARS else f"curl -s {url}/example | {ask}@-"
    labels = ", ".join(model.bundle.labels[:50]) if isinstance(model, BundleModel) and model.bundle else "of its own"
    return (
        f"<h2>{name}</h2><table><tr><th>version<td>{escape(model.version)}<tr><th>family<td>{escape(model.family)}"
        f"<tr><th>classes, in order<td>{escape(labels)}<tr><th>digest<td><code>{model.digest}</code></table>"
        f"<p>A request that works:</p><pre>{escape(command)}</pre>"
    )


def _route(method: str, path: str, operation: Mapping[str, Any]) -> str:
    blocks = []
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    for name, example in body.get("examples", {}).items():
        blocks.append(f"<p>Request, {escape(name)}:</p>{_pre(example['value'])}")
    for status, response in operation.get("responses", {}).items():
        example = response.get("content", {}).get("application/json", {}).get("example")
        if example is not None:
            blocks.append(f"<p>Answer {escape(status)}:</p>{_pre(example)}")
    summary = f'<b class="m">{method}</b><code>{escape(path)}</code> {escape(operation.get("description", ""))}'
    return f"<details><summary>{summary}</summary>{''.join(blocks)}</details>"


def _pre(value: object) -> str:
    return f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"
