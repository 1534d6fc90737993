"""TF-IDF and its linear model as an ONNX graph of standard operators; the same arithmetic as `models.linear`."""

# N items, L terms of an item, V vocabulary, K classes

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slipway.export import graph
from slipway.models.restore import Restored


def write_graph(restored: Restored, temperature: float, path: Path) -> None:
    """Write the graph of a `models.linear.TfidfLinear`: `ids` int64 and `counts` float32, [N, L] each."""
    from onnx import TensorProto, helper, numpy_helper

    model = restored.model
    constants: dict[str, NDArray[np.generic]] = {
        "idf": model.idf_V,
        "coefficients": np.ascontiguousarray(model.coefficients_KV.T),
        "intercept": model.intercept_K,
        "temperature": np.float32(temperature).reshape(1),
        "zero": np.zeros(1, np.float32),
        "one": np.ones(1, np.float32),
        "least_norm": np.full(1, 1e-12, np.float32),
        "axis_terms": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Max", ["counts", "one"], ["at_least_one"]),
        helper.make_node("Log", ["at_least_one"], ["log_count"]),
        helper.make_node("Add", ["log_count", "one"], ["dampened"]),
        helper.make_node("Greater", ["counts", "zero"], ["present"]),
        helper.make_node("Where", ["present", "dampened", "zero"], ["tf"]),
        helper.make_node("Gather", ["idf", "ids"], ["idf_of_terms"]),
        helper.make_node("Mul", ["tf", "idf_of_terms"], ["tfidf"]),
        helper.make_node("ReduceL2", ["tfidf", "axis_terms"], ["norm"], keepdims=1),
        helper.make_node("Max", ["norm", "least_norm"], ["safe_norm"]),
        helper.make_node("Div", ["tfidf", "safe_norm"], ["weights"]),
        helper.make_node("Unsqueeze", ["weights", "axis_terms"], ["weights_as_row"]),
        helper.make_node("Gather", ["coefficients", "ids"], ["coefficients_of_terms"]),
        helper.make_node("MatMul", ["weights_as_row", "coefficients_of_terms"], ["scores_as_row"]),
        helper.make_node("Squeeze", ["scores_as_row", "axis_terms"], ["scores"]),
        helper.make_node("Add", ["scores", "intercept"], ["logits"]),
        helper.make_node("Div", ["logits", "temperature"], ["tempered"]),
        helper.make_node("Softmax", ["tempered"], [graph.OUTPUT], axis=1),
    ]
    onnx_graph = helper.make_graph(
        nodes,
        "tfidf_logreg",
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "terms"]),
            helper.make_tensor_value_info("counts", TensorProto.FLOAT, ["batch", "terms"]),
        ],
        [helper.make_tensor_value_info(graph.OUTPUT, TensorProto.FLOAT, ["batch", len(restored.labels)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx_model = helper.make_model(
        onnx_graph, opset_imports=[helper.make_opsetid("", graph.OPSET)], ir_version=10, producer_name="slipway"
    )
    graph.write(onnx_model, graph.properties(restored), path)
