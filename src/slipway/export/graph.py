"""What every exported graph has in common, and how it is written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from slipway import bundle
from slipway.models.restore import Restored
from slipway.store import files

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 20
OUTPUT = "probabilities"
"""Float32 [N, K]."""
HEATMAP = bundle.HEATMAP
"""A second output, of networks that have a closed form (see `models.cam`): float32 [N, K, H, W], what each cell adds to a
class's logit before the temperature."""


def properties(restored: Restored) -> dict[str, str]:
    """What the file says of itself, should it be met alone: family, labels, and the digest of the checkpoint it was made of."""
    digest = files.read_manifest(restored.path).digest
    return {"family": restored.meta["family"], "labels": json.dumps(list(restored.labels)), "checkpoint": digest}


def write(model: "ModelProto", told: Mapping[str, str], path: Path) -> None:
    """Write a graph without traces of its making: torch's exporter leaves absolute paths and source lines on every node.

    The metadata of the file are `told` (see `properties`) and nothing else; equal graphs give equal bytes.
    """
    import onnx

    graph = model.graph
    del graph.value_info[:]  # the engine infers shapes itself; quantisation tools trip over the exporter's
    del model.metadata_props[:]
    model.doc_string = ""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    onnx.helper.set_model_props(model, dict(told))
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
