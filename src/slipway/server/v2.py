"""The v2 routes: each a plain function of the request, so that no model validation stands on the request path."""

from typing import Any

from fastapi import Request, Response

import slipway
from slipway.protocol import rest
from slipway.server.call import Call
from slipway.server.dataplane import DataPlane
from slipway.server.http import Rest, json_response
from slipway.server.models import ServedModel

PROTOCOL = "rest_v2"
EXTENSIONS = (rest.EXTENSION, "model_repository")


class V2:
    """Health, metadata and inference."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane, self._rest = plane, Rest(plane)

    async def server(self, _request: Request) -> Response:
        """Name and version of the server, and the protocol's extensions that it speaks."""
        return json_response({"name": "slipway", "version": slipway.__version__, "extensions": EXTENSIONS})

    async def live(self, _request: Request) -> Response:
        """The process runs and its event loop turns."""
        return json_response({"live": True})

    async def ready(self, _request: Request) -> Response:
        """Every model's files are verified and its self-test holds; 503 before, and once the server is stopping."""
        ready = self._plane.ready
        return json_response({"ready": ready}, 200 if ready else 503)

    async def list_models(self, _request: Request) -> Response:
        """Names of the served models."""
        return json_response({"models": self._plane.repository.names()})

    async def model_ready(self, request: Request) -> Response:
        """The same for one model."""
        model = self._plane.repository.find(*named(request))
        ready = self._plane.model_ready(model)
        return json_response({"name": model.name, "ready": ready}, 200 if ready else 503)

    async def metadata(self, request: Request) -> Response:
        """Inputs, outputs and, beside `probabilities`, the order of the classes."""
        return json_response(self._plane.metadata(*named(request)))

    async def infer(self, request: Request) -> Response:
        """Answer the items of one request."""
        header = request.headers.get(rest.HEADER)
        model, version = named(request)
        return await self._rest.answered(
            request, PROTOCOL, lambda call, body: self._answer(call, body, header), model=model, version=version
        )

    def _answer(self, call: Call, body: bytes, header: str | None) -> Response:
        """In a worker thread; `header`: of binary tensors."""
        model = model_of(call)
        with call.timed("parse"):
            request = rest.read_request(body, header)
        answer = self._plane.infer(call, model, request)
        with call.timed("postprocess"):
            content, json_length = rest.write_answer(answer, request)
        if json_length is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={rest.HEADER: str(json_length)})


def named(request: Request) -> tuple[str, str]:
    """Name and version in the path; the version is empty where it names none."""
    params: dict[str, Any] = request.path_params
    return params["model"], params.get("version", "")


def model_of(call: Call) -> ServedModel:
    """Of a call that was accepted for one."""
    assert call.model is not None, "accepted for one"
    return call.model
