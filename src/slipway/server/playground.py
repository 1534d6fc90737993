"""The playground: one page for people to try the served models, and what it shows beyond the protocol's metadata."""

import asyncio
import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from fastapi import Request, Response

from slipway.errors import NotFoundError
from slipway.server.bundle_model import BundleModel
from slipway.server.dataplane import DataPlane
from slipway.server.http import json_response
from slipway.server.models import ServedModel
from slipway.server.v2 import named

PAGE = Path(__file__).with_name("playground.html")
CARD = ("family", "architecture", "data", "preprocess", "training", "calibration", "variants", "code")
"""Parts of bundle.json that are told to whoever may ask the model. Not `config`: it may name places of the training machine."""


class Playground:
    """The page and its routes."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._page = PAGE.read_text(encoding="utf-8")
        self._policy = policy(self._page)

    async def playground(self, _request: Request) -> Response:
        """The playground: try the models in a browser."""
        return _page(self._page, self._policy)

    async def card(self, request: Request) -> Response:
        """The model card: what the model was made of, by which training, and for which evaluation it was released."""
        return json_response(card(self._plane.repository.loaded(*named(request))))

    async def card_page(self, request: Request) -> Response:
        """The whole model card as a page: what the model is for, its numbers with intervals, its limits, how to repeat it."""
        model = self._plane.repository.loaded(*named(request))
        page = model.bundle.card if isinstance(model, BundleModel) and model.bundle is not None else ""
        if not page:
            raise NotFoundError(
                f"model '{model.name}': its release has no card; /v2/models/{model.name}/card says how it was made"
            )
        return _page(page, policy(page, scripts=False))  # it came with the release, from whoever made that

    async def example(self, request: Request) -> Response:
        """A request that works: the body for `infer`, its item synthetic."""
        model = self._plane.repository.loaded(*named(request))
        return json_response(await asyncio.to_thread(model.example))


def card(model: ServedModel) -> dict[str, Any]:
    """What a model tells of its making; parts that its bundle has not are left out.

    Returns: name, version, digest, family; of a bundle also labels in order, `release` (digests of scores and verdict; None
        for one that was not released), `page` (whether `card_page` has one), and of bundle.json what CARD lists.
    """
    told = {"name": model.name, "version": model.version, "digest": model.digest, "family": model.family}
    if not isinstance(model, BundleModel) or model.bundle is None:
        return told
    bundle = model.bundle
    made = {part: bundle.meta[part] for part in CARD if part in bundle.meta}
    return {**told, "labels": list(bundle.labels), "release": bundle.release, "page": bool(bundle.card), **made}


def policy(page: str, *, scripts: bool = True) -> str:
    """The content security policy of a page: its own style and, if told so, scripts, by their hashes, and requests to its own
    server.
    """
    script = _sources("script", page) if scripts else "'none'"
    return (
        f"default-src 'none'; script-src {script}; style-src {_sources('style', page)}; connect-src 'self'; "
        f"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    )


def _sources(tag: str, page: str) -> str:
    parts = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    sums = (base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts)
    return " ".join(f"'sha256-{text}'" for text in sums) or "'none'"


def _page(html: str, policy_: str) -> Response:
    headers = {
        "Content-Security-Policy": policy_,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",  # after an upgrade, the page that fits the routes
    }
    return Response(html, media_type="text/html", headers=headers)
