"""Our server under load: the only place here that knows how it is started and what it can be asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slipway.preprocess.image import ImagePreprocess
from tests.benchmarks.serving import wire
from tests.benchmarks.serving.cells import BINARY, GRPC, JSON, PIXELS
from tests.benchmarks.serving.models import MODELS
from tests.helpers.servers import process, ready_line

NAME = "slipway"
ARGUMENTS = ("--port", "0")
LIVE = wire.Request(path="/v2/health/live")
FORMS = {JSON: wire.as_json, BINARY: wire.as_binary, PIXELS: wire.as_binary, GRPC: wire.as_grpc}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    pid: int
    http: str
    grpc: str
    """URL; empty: it has no such port."""

    def url(self, request: wire.Request) -> str:
        """Which of them a request goes to."""
        return self.grpc if request.http2 else self.http


@contextmanager
def serving(model: str, path: Path) -> Iterator[Server]:
    """A server of one model, in a process of its own, with as many threads as it takes by itself.

    Raises: AssertionError: it cannot serve it; the message has its reason.
    """
    with process(f"{model}={path}", *ARGUMENTS) as child:
        told = ready_line(child)
        grpc = f"http://127.0.0.1:{told['grpc_port']}" if "grpc_port" in told else ""
        yield Server(child.pid, f"http://127.0.0.1:{told['port']}", grpc)


def request(model: str, form: str, item: Any) -> wire.Request:
    """What is sent for one item in one of the forms."""
    spec = MODELS[model]
    if form == PIXELS:
        item = ImagePreprocess(height_px=spec.image_px, width_px=spec.image_px, channels=spec.channels)(item)
    value = item if isinstance(item, bytes) else np.ascontiguousarray(item[None])
    name = "text" if spec.family == "nlp" else "image"
    return FORMS[form](model, name, value)
