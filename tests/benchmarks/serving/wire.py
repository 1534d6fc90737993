"""Requests as bytes, and answers as numbers: the Open Inference Protocol in its three forms."""

import base64
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import orjson
from numpy.typing import NDArray

GRPC_PATH = "/inference.GRPCInferenceService/ModelInfer"
FRAME = struct.Struct(">?I")
"""Before each gRPC message: whether it is compressed, and its bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request, and how its answer is read."""

    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    http2: bool = False
    """gRPC's; else HTTP/1.1."""
    read: Callable[[bytes], NDArray[np.float32]] = lambda _: np.empty(0, np.float32)
    """An answer's body -> probabilities [K]."""


def as_json(model: str, name: str, value: bytes | NDArray[np.generic]) -> Request:
    """v2 REST: files in base64, texts as they are (the input called `text`), numbers as a flat list."""
    tensor = _described(name, value)
    if isinstance(value, bytes):
        tensor["data"] = [value.decode() if name == "text" else base64_of(value)]
    else:
        tensor["data"] = value.ravel()
    body = orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Request(path=f"/v2/models/{model}/infer", body=body, headers={"content-type": "application/json"}, read=read_v2)


def as_binary(model: str, name: str, value: bytes | NDArray[np.generic]) -> Request:
    """v2 REST with the values behind the JSON."""
    data = _raw(value)
    header = orjson.dumps({"inputs": [{**_described(name, value), "parameters": {"binary_data_size": len(data)}}]})
    return Request(
        path=f"/v2/models/{model}/infer",
        body=header + data,
        headers={"content-type": "application/octet-stream", "inference-header-content-length": str(len(header))},
        read=read_v2,
    )


def as_grpc(model: str, name: str, value: bytes | NDArray[np.generic]) -> Request:
    """v2 gRPC with raw contents; the messages are those that KServe's package generated."""
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages  # seconds of import

    message = messages.ModelInferRequest(
        model_name=model, inputs=[_described(name, value)], raw_input_contents=[_raw(value)]
    ).SerializeToString()

    def read(body: bytes) -> NDArray[np.float32]:
        answer = messages.ModelInferResponse.FromString(body[FRAME.size :])
        at = next(i for i, output in enumerate(answer.outputs) if output.name == "probabilities")
        if answer.raw_output_contents:
            return np.frombuffer(answer.raw_output_contents[at], "<f4")
        return np.asarray(answer.outputs[at].contents.fp32_contents, np.float32)

    headers = {"content-type": "application/grpc", "te": "trailers"}
    return Request(path=GRPC_PATH, body=FRAME.pack(False, len(message)) + message, headers=headers, http2=True, read=read)


def read_v2(body: bytes) -> NDArray[np.float32]:
    """`probabilities` of a v2 JSON answer."""
    outputs = orjson.loads(body)["outputs"]
    return np.asarray(next(o["data"] for o in outputs if o["name"] == "probabilities"), np.float32).ravel()


def ask(url: str, request: Request, timeout_s: float) -> bytes:
    """One answer by a real client, as h2load sees it: of gRPC with its frame.

    Raises: httpx.HTTPError, grpc.RpcError: no answer, or an error.
    """
    if request.http2:
        import grpc

        with grpc.insecure_channel(url.removeprefix("http://")) as channel:
            answer: bytes = channel.unary_unary(request.path)(request.body[FRAME.size :], timeout=timeout_s)
        return FRAME.pack(False, len(answer)) + answer
    import httpx

    with httpx.Client(trust_env=False, timeout=timeout_s) as client:
        if not request.body:
            return client.get(url + request.path).raise_for_status().content
        answered = client.post(url + request.path, content=request.body, headers=dict(request.headers))
        return answered.raise_for_status().content


def base64_of(file: bytes) -> str:
    """How JSON carries a file."""
    return base64.b64encode(file).decode()


def _described(name: str, value: bytes | NDArray[np.generic]) -> dict[str, object]:
    if isinstance(value, bytes):
        return {"name": name, "shape": [1], "datatype": "BYTES"}
    datatype = {"uint8": "UINT8", "float32": "FP32"}[value.dtype.name]
    return {"name": name, "shape": [*value.shape], "datatype": datatype}


def _raw(value: bytes | NDArray[np.generic]) -> bytes:
    return struct.pack("<I", len(value)) + value if isinstance(value, bytes) else value.tobytes()
