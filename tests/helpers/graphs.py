"""Tiny ONNX files of a user's own, made in the test."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper, save

ONNX = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}
"""The protocol's data types as ONNX names them."""
Ports = Mapping[str, tuple[str, Sequence[int | str]]]
"""Name -> data type and shape; a string is an axis of any length."""


def make_graph(path: Path, nodes: Sequence[tuple[Any, ...]], inputs: Ports, outputs: Ports) -> Path:
    """A file of nodes (operator, inputs, outputs) or (operator, inputs, outputs, attributes)."""
    made = [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes]
    graph = helper.make_graph(made, "tiny", _values(inputs), _values(outputs))
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def sums(path: Path) -> Path:
    """`a` FP32 [N, 2] and `b` FP32 [N, 2] -> `sum` and `log`, FP32 [N, 2]: the second is not finite where the sum is <= 0."""
    shape = ("FP32", ["N", 2])
    nodes = [("Add", ["a", "b"], ["sum"]), ("Log", ["sum"], ["log"])]
    return make_graph(path, nodes, {"a": shape, "b": shape}, {"sum": shape, "log": shape})


def echoes(path: Path, datatypes: Sequence[str] = tuple(ONNX)) -> Path:
    """For each data type an input `in_<datatype>` of one axis, given back as `out_<datatype>`."""
    nodes = [("Identity", [f"in_{name}"], [f"out_{name}"]) for name in datatypes]
    ins, outs = ({f"{way}_{name}": (name, ["N"]) for name in datatypes} for way in ("in", "out"))
    return make_graph(path, nodes, ins, outs)


def _values(ports: Ports):
    return [helper.make_tensor_value_info(name, ONNX[datatype], shape) for name, (datatype, shape) in ports.items()]
