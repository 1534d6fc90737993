"""Other servers, each of which serves the same ONNX files by onnxruntime in its own way."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from tests.benchmarks.serving import wire
from tests.benchmarks.serving.cells import BINARY, GRPC, JSON
from tests.benchmarks.serving.models import CNN
from tests.benchmarks.serving.wire import Request

RESNET = "resnet18_224"
BOUNDARY = "a-boundary-that-no-picture-has"
RUNTIME = ("onnxruntime==1.31.1", "numpy==2.4.6", "pillow==13.0.0")
Asked = Mapping[tuple[str, str], Callable[[Any], Request]]
"""(model, form) -> raw item to request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """A server to be compared with."""

    requirements: tuple[str, ...]
    """Beside RUNTIME."""
    command: tuple[str, ...]
    """Run in a scratch folder; the names of `peer_process.running`'s values are put in."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of its own, made as `command`."""
    asked: Asked


def _v2(*forms: tuple[str, str]) -> Asked:
    makers = {JSON: wire.as_json, BINARY: wire.as_binary, GRPC: wire.as_grpc}

    def request(model: str, form: str) -> Callable[[Any], Request]:
        return lambda item: makers[form](model, "image", item if isinstance(item, bytes) else item[None])

    return {(model, form): request(model, form) for model, form in forms}


def _json(path: str, body: Callable[[Any], Any], read: Callable[[Any], Any]) -> Callable[[Any], Request]:
    def request(item: Any) -> Request:
        sent = orjson.dumps(body(item), option=orjson.OPT_SERIALIZE_NUMPY)
        return Request(path=path, body=sent, headers={"content-type": "application/json"}, read=_reader(read))

    return request


def _raw(path: str, content_type: str, read: Callable[[Any], Any]) -> Callable[[Any], Request]:
    def request(item: Any) -> Request:
        sent = item if isinstance(item, bytes) else item.tobytes()
        return Request(path=path, body=sent, headers={"content-type": content_type}, read=_reader(read))

    return request


def _upload(path: str, field: str, read: Callable[[Any], Any]) -> Callable[[Any], Request]:
    """A file of a form, as `curl -F` sends it."""
    about = f'Content-Disposition: form-data; name="{field}"; filename="a.jpg"\r\nContent-Type: image/jpeg'

    def request(item: Any) -> Request:
        body = f"--{BOUNDARY}\r\n{about}\r\n\r\n".encode() + item + f"\r\n--{BOUNDARY}--\r\n".encode()
        headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
        return Request(path=path, body=body, headers=headers, read=_reader(read))

    return request


def _reader(read: Callable[[Any], Any]) -> Callable[[bytes], np.ndarray]:
    return lambda body: np.asarray(read(orjson.loads(body)), np.float32).ravel()


def _probabilities(answer: Any) -> Any:
    return answer["probabilities"]


def _itself(answer: Any) -> Any:
    return answer


PEERS: Mapping[str, Peer] = {
    "kserve": Peer(
        requirements=("kserve==0.21.0",),
        command=("{bin}/python", "{apps}/kserve_app.py"),
        asked=_v2((CNN, JSON), (CNN, BINARY), (CNN, GRPC), (RESNET, JSON)),  # files behind the JSON it answers with 500
    ),
    "mlserver": Peer(
        requirements=("mlserver==1.7.1", "uvloop==0.21.0"),  # with a newer uvloop its workers end at their start
        command=("{bin}/mlserver", "start", "{apps}/mlserver"),
        environment={
            "MLSERVER_HOST": "127.0.0.1",
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "{grpc_port}",
            "MLSERVER_METRICS_PORT": "{other_port}",
            "MLSERVER_PARALLEL_WORKERS": "{beside}",
            "MLSERVER_DEBUG": "false",
        },
        asked=_v2((CNN, JSON), (CNN, GRPC), (RESNET, JSON)),
    ),
    "bentoml": Peer(
        requirements=("bentoml==1.4.40",),
        command=("{bin}/bentoml", "serve", "bentoml_app:Onnx", "--host", "127.0.0.1", "--port", "{port}"),
        environment={"BENTOML_HOME": "{scratch}", "BENTOML_DO_NOT_TRACK": "true"},
        asked={
            (CNN, JSON): _json("/tensor", lambda item: {"input": item[None]}, _itself),
            (RESNET, BINARY): _upload("/image", "image", _itself),
        },
    ),
    "litserve": Peer(
        requirements=("litserve==0.2.19",),
        command=("{bin}/python", "{apps}/litserve_app.py"),
        asked={
            (CNN, JSON): _json("/json", lambda item: {"input": item[None]}, _probabilities),
            (RESNET, JSON): _json("/image", lambda item: {"image": wire.base64_of(item)}, _probabilities),
        },
    ),
    "mlflow": Peer(
        requirements=("mlflow==3.17.2", "onnx==1.23.2"),
        command=("{bin}/python", "{apps}/mlflow_app.py"),
        asked={
            (CNN, JSON): _json(
                "/invocations", lambda item: {"inputs": item[None]}, lambda answer: answer["predictions"]["probabilities"]
            )
        },
    ),
    "fastapi": Peer(
        requirements=("fastapi==0.165.0", "uvicorn[standard]==0.54.0"),
        command=(
            *("{bin}/python", "-m", "uvicorn", "fastapi_app:app", "--port", "{port}", "--workers", "{workers}"),
            *("--no-access-log", "--log-level", "warning"),
        ),
        asked={
            (CNN, JSON): _json("/json", lambda item: {"shape": [1, *item.shape], "data": item.ravel()}, _probabilities),
            (CNN, BINARY): _raw("/tensor", "application/octet-stream", _probabilities),
            (RESNET, BINARY): _raw("/image", "image/jpeg", _probabilities),
        },
    ),
}
