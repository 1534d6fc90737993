"""A torch module as an ONNX graph, by torch's exporter."""

# B batch, L tokens, H/W px, C channels, K classes

import re
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from slipway.errors import ConfigError
from slipway.export import graph
from slipway.models.cam import ActivationMap, activation_map
from slipway.models.restore import Restored

MAX_BATCH = 65_536
LINE = re.compile(r'File "([^"]+)", line (\d+), in \w+\n\s*(.+)')
"""A place in Python code, as torch quotes it."""


class Served(nn.Module):
    """The model as it is served: preprocessed inputs to probabilities, and to a class activation map where there is one."""

    temperature: Tensor

    def __init__(self, model: nn.Module, temperature: float, maps: ActivationMap | None) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("temperature", torch.tensor(temperature))
        self._maps = maps

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what `forward` returns."""
        return (graph.OUTPUT, graph.HEATMAP) if self._maps else (graph.OUTPUT,)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Graph inputs -> float32 [B, K], and of some models [B, K, H, W]."""
        logits_BK, *heatmap = self._maps.watched(self.model, *inputs) if self._maps else (self.model(*inputs),)
        return torch.softmax(logits_BK / self.temperature, dim=-1), *heatmap


def write_graph(restored: Restored, temperature: float, path: Path) -> None:
    """Export a restored torch model: free batch (and sequence), and every weight as it is in the checkpoint."""
    inputs, shapes = _example(restored)
    maps = activation_map(restored.model, _noise(inputs["image"])) if "image" in inputs else None
    made = program(Served(restored.model, temperature, maps).eval(), inputs, shapes)
    graph.write(made, graph.properties(restored), path)


def program(served: Served, inputs: dict[str, Tensor], shapes: Any) -> Any:
    """The ModelProto of a served model.

    Shapes and constants are folded, weights are left alone, so that parity can compare them bit by bit. Measured against
    the exporter's own optimisation: the same speed.

    Args:
        inputs: examples by name.
        shapes: which of their axes are free, as torch.export wants it.
    Raises: ConfigError: the network does what no graph can; the message names the line, and if it is known the module.
    """
    from onnxscript import optimizer

    with warnings.catch_warnings():
        # torch and onnxscript tracing their own modules: nothing a caller could change
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message="# The axis name", category=UserWarning)  # two inputs share their axes
        try:
            exported = torch.onnx.export(
                served,
                tuple(inputs.values()),
                dynamo=True,
                opset_version=graph.OPSET,
                dynamic_shapes=(shapes,),
                input_names=list(inputs),
                output_names=list(served.outputs),
                external_data=False,
                verbose=False,
                optimize=False,  # it would fold batch norms into filters; the engine does that when it loads
            )
        except torch.onnx.OnnxExporterError as exc:
            raise ConfigError(f"the network cannot be exported: {_place(exc)}; write it by other operators") from exc
        if exported is None:
            raise RuntimeError("torch.onnx.export returned no program")
        optimizer.fold_constants(exported.model)
        optimizer.remove_unused_nodes(exported.model)
    return exported.model_proto


def _place(exc: BaseException) -> str:
    """Module, line and reason of a failed export: of the node that the exporter was at, else what torch quotes."""
    chain = [exc]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    reason = str(chain[-1]).strip().partition("\n")[0][:200]
    module, quoted = "", str(exc)
    for frame, _ in (step for error in chain for step in traceback.walk_tb(error.__traceback__)):
        if isinstance(node := frame.f_locals.get("node"), torch.fx.Node):
            quoted = str(node.meta.get("stack_trace", ""))
            owners = [path for path, _ in node.meta.get("nn_module_stack", {}).values() if path]
            module = f" of {owners[-1].removeprefix('model.')}" if owners else ""
    lines = LINE.findall(quoted)
    where = "{}:{}{}, `{}`: ".format(*lines[-1][:2], module, lines[-1][2]) if lines else ""
    return f"{where}{reason}"


def _example(restored: Restored) -> tuple[dict[str, Tensor], Any]:
    """Example inputs by name, and which of their axes are free."""
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    size = restored.meta["input"]
    if size:
        image = torch.zeros(2, size["height_px"], size["width_px"], size["channels"], dtype=torch.uint8)
        return {"image": image}, ({0: batch},)
    sequence = torch.export.Dim("sequence", min=2, max=int(restored.meta["preprocess"]["max_tokens"]))
    ids, mask = torch.ones(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64)
    return {"input_ids": ids, "attention_mask": mask}, ({0: batch, 1: sequence}, {0: batch, 1: sequence})


def _noise(like: Tensor) -> Tensor:
    return torch.randint(0, 256, like.shape, generator=torch.Generator().manual_seed(0), dtype=like.dtype)
