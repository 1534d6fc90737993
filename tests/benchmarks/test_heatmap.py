"""What the second output of a graph costs: answers of the graph with it, by answers of the one without; the bar is 1.02."""

from functools import partial

import numpy as np
import onnx
import pytest
import torch

from slipway import engines
from slipway import settings as settings_
from slipway.evaluation.latency import milliseconds
from slipway.export import graph, torch_graph
from slipway.models import architectures
from slipway.models.cam import activation_map
from tests.benchmarks.table import show

ROUNDS, SECONDS = 15, 30.0
CASES = {"fast_cnn": (32, 3, 64), "resnet18": (32, 3, 8), "mobilenet_v2": (96, 3, 8), "defect_base": (200, 1, 8)}
"""Side in pixels, channels, batch size."""


@pytest.mark.bench
@pytest.mark.parametrize("name", CASES)
def test_a_heatmap_in_the_graph(name, tmp_path):
    px, channels, batch = CASES[name]
    threads = settings_.load().threads
    torch.manual_seed(0)
    model = architectures.build(name, num_classes=10, image_px=px, channels=channels).eval()
    image = torch.randint(0, 256, (2, px, px, channels), dtype=torch.uint8)
    sessions = {}
    for told, maps in (("without", None), ("with", activation_map(model, image))):
        assert (maps is None) == (told == "without")
        path = tmp_path / f"{told}.onnx"
        served = torch_graph.Served(model, 1.0, maps).eval()
        onnx.save(torch_graph.program(served, {"image": image}, ({0: torch.export.Dim("batch")},)), path)
        sessions[told] = engines.open_session(path, threads=threads)
    feeds = {"image": np.random.default_rng(0).integers(0, 256, (batch, px, px, channels), dtype=np.uint8)}
    asked = {
        "without": ("without", [graph.OUTPUT]),
        "there": ("with", [graph.OUTPUT]),
        "asked for": ("with", [graph.OUTPUT, graph.HEATMAP]),
    }
    calls = {what: partial(sessions[session].run, outputs, feeds) for what, (session, outputs) in asked.items()}
    taken = milliseconds(calls, seconds=SECONDS, rounds=ROUNDS)
    rows = {
        f"{what}: ratio": [a / b for a, b in zip(taken[what], taken["without"], strict=True)] for what in ("there", "asked for")
    }
    show(f"{name} at {px} px, batch {batch}", rows | {"   without, ms": taken["without"]}, threads=threads)
