"""What /docs says: a request to each model, and every route with examples, on a page that loads nothing from anywhere."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from slipway.server.bundle_model import BundleModel
from slipway.server.models import ServedModel

MAX_EXAMPLE_CHARS = 10_000
"""Of a model's own request on the page; a longer one is asked from the server."""
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}
pre{background:#f3f4f6;padding:.75rem;overflow-x:auto;font-size:13px;border-radius:4px}summary{cursor:pointer;padding:.3rem 0}
code{font-size:14px}b.m{display:inline-block;width:3.5rem}
table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0}
@media(prefers-color-scheme:dark){body{background:#15181c;color:#dde1e6}pre{background:#22272e}a{color:#7ab7ff}}"""


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
