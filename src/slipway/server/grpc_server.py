"""gRPC: the protocol's service on a port of its own, in the same event loop, over the same data plane."""

import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import slipway
from slipway.errors import ConfigError, RequestError
from slipway.protocol import grpc as codec
from slipway.protocol.messages import METHODS, SERVICE, message
from slipway.server.access import Access
from slipway.server.call import Call
from slipway.server.dataplane import DataPlane
from slipway.server.refusal import Reason, RefusedError, reason_of, told
from slipway.server.v2 import EXTENSIONS, model_of

# One thread reads the sockets: gRPC's newer way hands each piece of a message to a pool of threads, a sixth more CPU for a
# request of 480 kB (1.85, two cores). Only the environment can say so, and it is read when gRPC is imported.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener,-event_engine_client")
import grpc

log = logging.getLogger("slipway.server")
PROTOCOL = "grpc_v2"
ROOM_FOR_PROBES = 16
"""Calls accepted beyond the data plane's places, so that health is told while all are taken."""
OPEN = ("ServerLive", "ServerReady", "ModelReady")
"""Methods that need no token."""


class GrpcServer:
    """The service's methods."""

    def __init__(self, plane: DataPlane, access: Access) -> None:
        self._plane, self._access = plane, access
        self._server: Any = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and say on which port; 0 picks a free one. Raises: ConfigError: the address cannot be used."""
        limits = self._plane.limits
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", limits.max_body_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # a taken port is an error, not a port shared
            ],
            maximum_concurrent_rpcs=limits.max_requests + ROOM_FOR_PROBES,
        )
        handlers = {name: grpc.unary_unary_rpc_method_handler(self._handler(name)) for name in METHODS}
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = self._server.add_insecure_port(address)
        except RuntimeError as exc:
            raise ConfigError(
                f"{address}: cannot listen there for gRPC; choose another --grpc-port, 0 for a free one, or -1 for none"
            ) from exc
        await self._server.start()
        return int(bound)

    async def stop(self, grace_s: float) -> None:
        """Accept nothing more, and end once what was accepted is answered, or after `grace_s`."""
        if self._server is not None:
            await self._server.stop(grace_s)

    def _handler(self, name: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        method = getattr(self, f"_{name}")
        requests = message(f"{name}Request")

        async def handle(sent: bytes, context: Any) -> bytes:
            metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
            request_id = metadata.get("x-request-id", "")[:128] or secrets.token_hex(8)
            trailing: tuple[tuple[str, str], ...] = (("x-request-id", request_id),)  # gRPC takes tuples only
            context.set_trailing_metadata(trailing)
            try:
                if name not in OPEN:
                    self._access.check(metadata.get("authorization"))
                try:
                    request = requests.FromString(sent)
                except Exception as exc:  # protobuf's own classes are not importable by a stable name
                    raise RequestError(f"{name}Request: not such a message; {len(sent)} bytes") from exc
                call = Call(PROTOCOL, request_id=request_id, timeout_s=_timeout(context), num_bytes=len(sent))
                found = await method(request, call)
            except Exception as exc:
                reason = reason_of(exc)
                if reason is Reason.INTERNAL and name != "ModelInfer":  # the data plane logs its own
                    log.exception("internal error", extra={"method": name})
                if isinstance(exc, RefusedError) and exc.retry_after_s:
                    trailing += (("retry-after", str(exc.retry_after_s)),)
                await context.abort(grpc.StatusCode[reason.grpc], told(exc), trailing)
            return found if isinstance(found, bytes) else bytes(found.SerializeToString())

        return handle

    async def _ServerLive(self, _request: Any, _call: Call) -> Any:
        return message("ServerLiveResponse")(live=True)

    async def _ServerReady(self, _request: Any, _call: Call) -> Any:
        return message("ServerReadyResponse")(ready=self._plane.ready)

    async def _ModelReady(self, request: Any, _call: Call) -> Any:
        model = self._plane.repository.find(request.name, request.version)
        return message("ModelReadyResponse")(ready=self._plane.model_ready(model))

    async def _ServerMetadata(self, _request: Any, _call: Call) -> Any:
        return message("ServerMetadataResponse")(name="slipway", version=slipway.__version__, extensions=EXTENSIONS)

    async def _ModelMetadata(self, request: Any, _call: Call) -> Any:
        found = self._plane.metadata(request.name, request.version)
        made = message("ModelMetadataResponse")(name=found["name"], versions=found["versions"], platform=found["platform"])
        for key in ("inputs", "outputs"):
            for port in found[key]:
                getattr(made, key).add(name=port["name"], datatype=port["datatype"], shape=port["shape"])
        return made

    async def _ModelInfer(self, sent: Any, call: Call) -> bytes:
        async with self._plane.accepted(call, sent.model_name, sent.model_version):
            with self._plane.holding() as more:
                more(call.num_bytes)  # asking the message would write it again
                return await self._plane.compute(call, lambda: self._answer(call, sent))

    def _answer(self, call: Call, sent: Any) -> bytes:
        """In a worker thread."""
        model = model_of(call)
        with call.timed("parse"):
            request = codec.read_request(sent)
        answer = self._plane.infer(call, model, request)
        with call.timed("postprocess"):
            return bytes(codec.write_answer(answer, raw=request.all_binary).SerializeToString())

    async def _RepositoryIndex(self, request: Any, _call: Call) -> Any:
        made = message("RepositoryIndexResponse")()
        for entry in await self._plane.load(self._plane.repository.index):
            if not request.ready or entry["state"] == "READY":
                made.models.add(**entry)
        return made

    async def _RepositoryModelLoad(self, request: Any, _call: Call) -> Any:
        version = request.parameters["version"].string_param if "version" in request.parameters else ""
        await self._plane.load(lambda: self._plane.repository.load(request.model_name, version))
        return message("RepositoryModelLoadResponse")()

    async def _RepositoryModelUnload(self, request: Any, _call: Call) -> Any:
        version = request.parameters["version"].string_param if "version" in request.parameters else ""
        self._plane.repository.unload(request.model_name, version)
        return message("RepositoryModelUnloadResponse")()


def _timeout(context: Any) -> float | None:
    """Seconds until the client's deadline, from `grpc-timeout`; None without one."""
    left = context.time_remaining()
    return None if left is None or left > 1e8 else max(float(left), 1e-6)
