"""One request in every form that the server speaks, over real connections: what holds for one must hold for all."""

import base64
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import numpy as np

from slipway.protocol.messages import SERVICE, message
from tests.helpers.servers import running

FORMS = ("json", "binary", "typed", "raw")
"""REST with values in JSON or behind it; gRPC with typed or raw contents."""
DTYPES = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
CONTENTS = {
    "BOOL": "bool", "UINT8": "uint", "UINT16": "uint", "UINT32": "uint", "UINT64": "uint64", "INT8": "int", "INT16": "int",
    "INT32": "int", "INT64": "int64", "FP32": "fp32", "FP64": "fp64", "BYTES": "bytes",
}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """What the server said."""

    status: str
    """200, 400, … or gRPC's OK, INVALID_ARGUMENT, …"""
    error: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """Arrays, or lists of bytes."""
    id: str | None = None

    @property
    def ok(self) -> bool:
        return self.status in ("200", "OK")

    @property
    def refused(self) -> bool:
        """By name, for what the client did."""
        wrong = ("INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED")
        return bool(self.error) and (self.status in wrong or self.status.startswith("4"))


def tensor(name: str, datatype: str, shape: Sequence[int], data: Sequence[Any], **parameters: Any) -> dict[str, Any]:
    """A tensor; of BYTES, data are `bytes` or `str`."""
    return {"name": name, "datatype": datatype, "shape": [*shape], "data": data, "parameters": parameters}


class Served:
    """A running server, by both transports."""

    def __init__(self, http: httpx.Client, channel: grpc.Channel, app: Any) -> None:
        self.http, self.channel, self.app = http, channel, app

    def ask(
        self, form: str, model: str, tensors: Sequence[Mapping[str, Any]], *,
        outputs: Sequence[str] = (), id: str | None = None, version: str = "",
    ) -> Told:  # fmt: skip
        """One request."""
        if form in ("json", "binary"):
            body, headers = rest_request(tensors, outputs, id=id, binary=form == "binary")
            return self.post(model, body, headers, version=version)
        return self.infer(grpc_request(model, tensors, outputs, id=id, version=version, raw=form == "raw"))

    def post(self, model: str, body: Any, headers: Mapping[str, str] | None = None, *, version: str = "") -> Told:
        """A body of REST's own."""
        path = f"/v2/models/{model}/{f'versions/{version}/' if version else ''}infer"
        return _of_rest(self.http.post(path, content=body, headers=headers))

    def call(self, method: str, request: Any = b"", *, timeout: float = 20, **more: Any) -> Any:
        """An answer over gRPC to a message or bytes. Raises: grpc.RpcError."""
        sent = request if isinstance(request, bytes) else request.SerializeToString()
        return self.channel.unary_unary(
            f"/{SERVICE}/{method}", response_deserializer=message(f"{method}Response").FromString
        )(sent, timeout=timeout, **more)  # fmt: skip

    def infer(self, request: Any, **more: Any) -> Told:
        """ModelInfer of a message or bytes."""
        try:
            return _of_grpc(self.call("ModelInfer", request, **more))
        except grpc.RpcError as exc:
            return Told(exc.code().name, exc.details())

    def in_flight(self) -> float:
        """Requests that are being answered, by the metrics."""
        lines = self.http.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("inference_in_flight{"))


@contextmanager
def serving(app: Any) -> Iterator[Served]:
    """An app made with `grpc=("127.0.0.1", 0)`, once its models are ready."""
    with running(app) as http:
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{app.state.grpc_port}", options=unlimited) as channel:
            yield Served(http, channel, app)


def rest_request(
    tensors: Sequence[Mapping[str, Any]], outputs: Sequence[str] = (), *, id: str | None = None, binary: bool = False
) -> tuple[bytes, dict[str, str]]:
    """Body and headers. In JSON, bytes stand as base64 where they are no text."""
    behind = [to_bytes(t) for t in tensors] if binary else []
    entries = [{**t, "data": [_json(v) for v in t["data"]]} for t in tensors]
    for entry, own in zip(entries, behind, strict=False):
        del entry["data"]
        entry["parameters"] = {**entry["parameters"], "binary_data_size": len(own)}
    told: dict[str, Any] = {"inputs": entries}
    if binary:
        told["parameters"] = {"binary_data_output": True}
    if outputs:
        told["outputs"] = [{"name": name} for name in outputs]
    if id is not None:
        told["id"] = id
    header = json.dumps(told).encode()
    return b"".join([header, *behind]), {"Inference-Header-Content-Length": str(len(header))} if binary else {}


def grpc_request(
    model: str, tensors: Sequence[Mapping[str, Any]], outputs: Sequence[str] = (), *,
    id: str | None = None, version: str = "", raw: bool = False,
) -> Any:  # fmt: skip
    """A ModelInferRequest. Raises: TypeError, ValueError: values that its fields cannot hold."""
    made = message("ModelInferRequest")(model_name=model, model_version=version, id=id or "")
    for t in tensors:
        sent = made.inputs.add(name=t["name"], datatype=t["datatype"], shape=t["shape"])
        for name, value in t["parameters"].items():
            setattr(sent.parameters[name], "bool_param" if isinstance(value, bool) else "string_param", value)
        if raw:
            made.raw_input_contents.append(to_bytes(t))
        elif t["datatype"] in CONTENTS:
            values = [v.encode() if isinstance(v, str) else v for v in t["data"]]
            getattr(sent.contents, f"{CONTENTS[t['datatype']]}_contents").extend(values)
    for name in outputs:
        made.outputs.add(name=name)
    return made


def to_bytes(t: Mapping[str, Any]) -> bytes:
    """Values as they stand on the wire."""
    if t["datatype"] != "BYTES":
        with np.errstate(over="ignore"):
            return np.array(t["data"], DTYPES.get(t["datatype"], "<f4")).tobytes()
    values = [v.encode() if isinstance(v, str) else v for v in t["data"]]
    return b"".join(struct.pack("<I", len(v)) + v for v in values)


def from_bytes(data: bytes, datatype: str, shape: Sequence[int]) -> Any:
    """The inverse."""
    if datatype != "BYTES":
        return np.frombuffer(data, DTYPES[datatype]).reshape(shape)
    found = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        found.append(data[4 : 4 + length])
        data = data[4 + length :]
    return found


def _json(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _of_rest(response: httpx.Response) -> Told:
    if response.status_code != 200:
        return Told(str(response.status_code), response.json()["error"])
    length = int(response.headers.get("Inference-Header-Content-Length", len(response.content)))
    told, behind = json.loads(response.content[:length]), response.content[length:]
    outputs = {}
    for out in told["outputs"]:
        size = out.get("parameters", {}).get("binary_data_size")
        if size is not None:
            outputs[out["name"]] = from_bytes(behind[:size], out["datatype"], out["shape"])
            behind = behind[size:]
        elif out["datatype"] == "BYTES":
            outputs[out["name"]] = [text.encode() for text in out["data"]]
        else:
            outputs[out["name"]] = np.array(out["data"], DTYPES[out["datatype"]]).reshape(out["shape"])
    assert not behind, "all bytes belong to an output"
    return Told("200", outputs=outputs, id=told.get("id"))


def _of_grpc(answer: Any) -> Told:
    outputs = {}
    for i, out in enumerate(answer.outputs):
        if answer.raw_output_contents:
            outputs[out.name] = from_bytes(answer.raw_output_contents[i], out.datatype, out.shape)
        else:
            values = list(getattr(out.contents, f"{CONTENTS[out.datatype]}_contents"))
            outputs[out.name] = (
                values if out.datatype == "BYTES" else np.array(values, DTYPES[out.datatype]).reshape([*out.shape])
            )
    return Told("OK", outputs=outputs, id=answer.id or None)
