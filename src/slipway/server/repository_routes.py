"""The protocol's model repository extension: which models there are, and loading and unloading them."""

from typing import Any

from fastapi import Request, Response

from slipway.errors import RequestError
from slipway.protocol.rest import flag, json_object
from slipway.protocol.tensors import said
from slipway.server.dataplane import DataPlane
from slipway.server.http import Rest, json_response


class RepositoryRoutes:
    """Over the repository of a data plane."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane, self._rest = plane, Rest(plane)

    async def index(self, request: Request) -> Response:
        """Every model and version that is loaded or can be; `{"ready": true}`: those that answer."""
        only_ready = flag(await self._body(request), "ready", "body", default=False)
        found = await self._plane.load(self._plane.repository.index)
        return json_response([entry for entry in found if not only_ready or entry["state"] == "READY"])

    async def load(self, request: Request) -> Response:
        """Load a release of the store, `{"parameters": {"version": "…"}}` or the newest; answered once it is ready."""
        name, version = request.path_params["model"], _version(await self._body(request))
        model = await self._plane.load(lambda: self._plane.repository.load(name, version))
        return json_response({"name": model.name, "version": model.version})

    async def unload(self, request: Request) -> Response:
        """Forget a model, or the version of it that is named."""
        name, version = request.path_params["model"], _version(await self._body(request))
        self._plane.repository.unload(name, version)
        return json_response({"name": name})

    async def _body(self, request: Request) -> dict[str, Any]:
        with self._plane.holding() as more:
            body = await self._rest.body(request, more)
        return json_object(body) if body.strip() else {}


def _version(body: dict[str, Any]) -> str:
    parameters = body.get("parameters", {})
    version = parameters.get("version", "") if isinstance(parameters, dict) else None
    if not isinstance(version, str):
        raise RequestError(f"parameters: must be an object with a string `version`, got {said(parameters)}")
    return version
