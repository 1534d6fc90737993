"""What runs a bundle's graphs: one table of engines, each of which opens an ONNX file and answers graph inputs.

A variant's name is `<engine>-<precision>`, so an engine and a precision of it are two entries of ENGINES. Libraries are
imported when first used: a server of onnxruntime needs no other.
"""

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slipway.errors import BundleError, unknown

Feeds = Mapping[str, NDArray[Any]]
"""Graph inputs by name, the batch first."""


class Session(Protocol):
    """An open graph. Safe to call from several threads."""

    outputs: tuple[str, ...]
    """Their names."""

    def run(self, names: Sequence[str], feeds: Feeds) -> list[NDArray[Any]]:
        """The outputs of these names, in their order."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How graphs are opened, and the arithmetic that it offers."""

    open: Callable[[Path, str, int, int], Session]
    """(ONNX file, precision, threads; 0 leaves their number to the engine, callers) -> session."""
    precisions: tuple[str, ...]
    """`fp32` and `bf16` run a float file, `int8` runs a quantised one."""
    runs: Callable[[str], bool]
    """Whether this machine can run a precision: the library is installed, the processor has it."""


def open_session(
    model: Path, *, engine: str = "onnxruntime", precision: str = "fp32", threads: int = 0, callers: int = 1
) -> Session:
    """Open a graph.

    Args:
        engine: a name of ENGINES.
        threads: of one call; 0 leaves the choice to the engine.
        callers: that will call at the same time, each with `threads` of its own; more may, and then share them.
    Raises: BundleError: an engine that is unknown, not installed, cannot run that precision here, or cannot read the file.
    """
    if engine not in ENGINES:
        raise BundleError(unknown(f"{model}: engine", engine, ENGINES))
    if precision not in ENGINES[engine].precisions:
        raise BundleError(unknown(f"{model}: precision of {engine}", precision, ENGINES[engine].precisions))
    return ENGINES[engine].open(model, precision, threads, callers)


def parts(variant: str) -> tuple[str, str]:
    """Engine and precision of a variant's name, `<engine>-<precision>`."""
    engine, _, precision = variant.rpartition("-")
    return engine, precision


def runs_here(engine: str, precision: str) -> bool:
    """Whether this machine can run graphs by an engine in a precision of ENGINES."""
    return ENGINES[engine].runs(precision)


class _OnnxRuntime:
    def __init__(self, provider: str, model: Path, _precision: str, threads: int, _callers: int) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised; a line of its own in the log would be said twice
        # waiting threads sleep: on two busy cores spinning cost 2-4 times the latency and a third of the throughput
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(model, options, providers=[provider])
        except Exception as exc:  # onnxruntime's own classes are not importable by a stable name
            raise BundleError(f"{model}: onnxruntime cannot load it ({exc})") from exc
        if (used := self._session.get_providers()[0]) != provider:  # it falls back without an error
            raise BundleError(f"{model}: onnxruntime runs it by {used}, not {provider}; its libraries cannot be loaded")
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def run(self, names: Sequence[str], feeds: Feeds) -> list[NDArray[Any]]:
        found: list[NDArray[Any]] = self._session.run(list(names), dict(feeds))
        return found


class _OpenVino:
    def __init__(self, model: Path, precision: str, threads: int, callers: int) -> None:
        core = _openvino_core()
        if precision == "bf16" and not _multiplies_bf16():
            raise BundleError(f"{model}: this processor does not multiply bf16; choose a variant of fp32 or int8")
        asked: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # the scheduler knows which core is free; models side by side would share one
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",  # of int8: what was left in float
        }
        if threads:
            asked |= {"INFERENCE_NUM_THREADS": threads * callers, "NUM_STREAMS": callers}  # a stream serves a call at a time
        try:
            self._compiled = core.compile_model(core.read_model(str(model)), "CPU", asked)
        except Exception as exc:  # bare RuntimeErrors, of many lines
            raise BundleError(f"{model}: openvino cannot load it ({str(exc).strip().splitlines()[-1]})") from exc
        self.outputs = tuple(output.get_any_name() for output in self._compiled.outputs)
        self._own = threading.local()

    def run(self, names: Sequence[str], feeds: Feeds) -> list[NDArray[Any]]:
        if not hasattr(self._own, "request"):  # a request serves one call at a time
            self._own.request = self._compiled.create_infer_request()
        # inputs are read where they lie, 0.1 to 0.2 ms a call less; outputs are copied, since the next call overwrites them
        found = self._own.request.infer({k: np.ascontiguousarray(v) for k, v in feeds.items()}, share_inputs=True)
        return [found[name] for name in names]


def _has_cuda(_precision: str) -> bool:
    import onnxruntime as ort

    return "CUDAExecutionProvider" in ort.get_available_providers()


def _has_openvino(precision: str) -> bool:
    return find_spec("openvino") is not None and (precision != "bf16" or _multiplies_bf16())


def _multiplies_bf16() -> bool:
    return "BF16" in _openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def _openvino_core() -> Any:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it reports each import; a stub does not
    try:
        import openvino
    except ImportError as exc:
        raise BundleError(f"openvino cannot be imported ({exc}); install slipway[openvino]") from exc
    return openvino.Core()


ENGINES: dict[str, Engine] = {
    "onnxruntime": Engine(partial(_OnnxRuntime, "CPUExecutionProvider"), ("fp32", "int8"), lambda _: True),
    "onnxruntime-cuda": Engine(partial(_OnnxRuntime, "CUDAExecutionProvider"), ("fp32",), _has_cuda),
    "openvino": Engine(_OpenVino, ("fp32", "bf16", "int8"), _has_openvino),
}
"""By name."""
