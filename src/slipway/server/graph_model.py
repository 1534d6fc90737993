"""Any ONNX file with its own tensors: what goes in and comes out is the graph's, nothing is preprocessed."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.engines import open_session
from slipway.errors import BundleError, RequestError, unknown
from slipway.protocol.rest import InferRequest
from slipway.protocol.tensors import BYTES, NUMERIC, Tensor, of_array
from slipway.server.call import Call
from slipway.server.models import Place, ServedModel
from slipway.server.plan import plan
from slipway.server.scheduler import Graph, Scheduled
from slipway.store import files

log = logging.getLogger("slipway.server")
ONNX_TYPES: Mapping[str, str] = {
    "tensor(bool)": "BOOL",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": BYTES,
    **{f"tensor({sign}int{bits})": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""onnxruntime's name of a type -> the protocol's."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """-1: any length."""

    def describe(self) -> dict[str, Any]:
        """As metadata says it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


class GraphModel(ServedModel):
    """See the module. Requests are not put together: nobody knows whether the first axis is items."""

    family = "onnx"
    architecture = "onnx"

    def _open(self, place: Place) -> None:
        path = Path(self.source)
        if not path.is_file():
            raise BundleError(f"{path}: no such file; give the path of an ONNX file")
        if place.public_key is not None:
            raise BundleError(f"{path}: a bare ONNX file has no signature, and this server wants one; serve a signed release")
        self.variant = "onnxruntime"  # in whatever precision the file has
        threads = place.scheduler.threads
        one = open_session(path, threads=1, callers=threads)
        self.inputs, self.outputs = ports(path)
        if not self.inputs:
            raise BundleError(f"{path}: takes no input, and the protocol has no request without one")
        self.digest = files.sha256_file(path)
        feeds = {port.name: _smallest(port) for port in self.inputs}
        told = self._on_batch(place)
        try:
            self._graph = plan(
                lambda n: open_session(path, threads=n), one, feeds, threads=threads, together=False, on_batch=told
            )
        except Exception as exc:  # noqa: BLE001  the smallest shape may be one that the graph cannot take
            log.info("not timed", extra={"model": self.name, "reason": _one_line(exc)})
            self._graph = Graph(one=one, on_batch=told)
        self._session = Scheduled(self._graph, place.scheduler)

    def infer(self, request: InferRequest, call: Call) -> Sequence[Tensor]:
        """See `ServedModel.infer`. Raises: RequestError: also where the graph itself refuses what it was given."""
        with call.timed("parse"):
            feeds = self._feeds(request)
            names = request.outputs or [port.name for port in self.outputs]
            for i, name in enumerate(names):
                if name not in {port.name for port in self.outputs}:
                    raise RequestError(unknown(f"outputs[{i}].name", name[:80], [port.name for port in self.outputs]))
        with call.timed("model"):
            try:
                found = self._session.run(names, feeds)
            except Exception as exc:  # onnxruntime's own classes are not importable by a stable name
                raise RequestError(f"inputs: the graph cannot run on them ({_one_line(exc)})") from exc
        types = {port.name: port.datatype for port in self.outputs}
        return [_output(name, types[name], values) for name, values in zip(names, found, strict=True)]

    def metadata(self) -> dict[str, Any]:
        """The protocol's model metadata."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": "onnx_onnxv1",
            "inputs": [port.describe() for port in self.inputs],
            "outputs": [port.describe() for port in self.outputs],
            "parameters": {
                "digest": self.digest,
                "family": self.family,
                "architecture": self.architecture,
                "variant": self.variant,
                **self.how(),
            },
        }

    def example(self) -> dict[str, Any]:
        """Zeros, or empty strings, of the smallest shape."""
        feeds = {port: _smallest(port) for port in self.inputs}
        return {
            "inputs": [
                {"name": port.name, "shape": [*values.shape], "datatype": port.datatype, "data": values.ravel().tolist()}
                for port, values in feeds.items()
            ]
        }

    def _feeds(self, request: InferRequest) -> dict[str, NDArray[Any]]:
        known = {port.name: port for port in self.inputs}
        feeds: dict[str, NDArray[Any]] = {}
        for i, tensor in enumerate(request.inputs):
            where = f"inputs[{i}]"
            if tensor.name not in known:
                raise RequestError(unknown(f"{where}.name", tensor.name[:80], known))
            port = known[tensor.name]
            if tensor.datatype != port.datatype:
                raise RequestError(f"{where}.datatype: got {tensor.datatype}, '{port.name}' is {port.datatype}")
            fits = len(tensor.shape) == len(port.shape) and all(
                want in (-1, got) for want, got in zip(port.shape, tensor.shape, strict=True)
            )
            if not fits:
                raise RequestError(f"{where}.shape: got {list(tensor.shape)}, '{port.name}' is {list(port.shape)} (-1: any)")
            feeds[tensor.name] = tensor.values if isinstance(tensor.values, np.ndarray) else _strings(tensor, where)
        if missing := [name for name in known if name not in feeds]:
            raise RequestError(f"inputs: '{missing[0]}' is missing; the model takes {', '.join(known)}")
        return feeds


def ports(path: Path) -> tuple[list[Port], list[Port]]:
    """Inputs and outputs of a file. Raises: BundleError: one that the protocol has no data type for."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL  # only to look
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [_port(path, p) for p in session.get_inputs()], [_port(path, p) for p in session.get_outputs()]


def _port(path: Path, port: Any) -> Port:
    if port.type not in ONNX_TYPES:
        raise BundleError(
            f"{path}: '{port.name}' is {port.type}, which the protocol cannot say; allowed: {', '.join(ONNX_TYPES)}"
        )
    return Port(port.name, ONNX_TYPES[port.type], tuple(n if isinstance(n, int) else -1 for n in port.shape))


def _smallest(port: Port) -> NDArray[Any]:
    shape = tuple(max(1, n) for n in port.shape)
    return np.full(shape, "", object) if port.datatype == BYTES else np.zeros(shape, NUMERIC[port.datatype][0])


def _strings(tensor: Tensor, where: str) -> NDArray[Any]:
    try:
        texts = [v if isinstance(v, str) else v.decode() for v in tensor.values]
    except UnicodeDecodeError as exc:
        raise RequestError(f"{where}: BYTES are texts in UTF-8 for this model ({exc.reason} at {exc.start})") from exc
    return np.array(texts, dtype=object).reshape(tensor.shape)


def _output(name: str, datatype: str, values: NDArray[Any]) -> Tensor:
    if datatype == BYTES:
        return Tensor(name, BYTES, values.shape, [str(v) for v in values.ravel()])
    return of_array(name, values.astype(NUMERIC[datatype][0], copy=False))


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split())[:300]
