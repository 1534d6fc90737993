"""Every engine answers a graph as the first one does, from several threads at once, or says why it cannot."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway.engines import ENGINES, open_session, runs_here
from slipway.errors import BundleError
from tests.helpers.bundles import FAMILIES, make_bundle, make_items

TOLERANCES = {"fp32": 1e-5, "bf16": 0.03}
VARIANTS = [(name, precision) for name, engine in ENGINES.items() for precision in engine.precisions if precision in TOLERANCES]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """Family -> (ONNX file, graph inputs of 70 items)."""
    found = {}
    for family in FAMILIES:
        bundle = bundles.load(make_bundle(family, tmp_path_factory.mktemp(family) / "bundle"))
        feeds = bundle.preprocess.encode(make_items(family, 70))
        found[family] = bundle.path / bundle.meta["variants"][bundles.BASE]["file"], feeds
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("engine", "precision"), VARIANTS)
def test_every_engine_answers_alike_from_several_threads_at_once(graphs, family, engine, precision):
    path, feeds = graphs[family]
    (expected,) = open_session(path, threads=1).run(["probabilities"], feeds)
    if not runs_here(engine, precision):
        with pytest.raises(BundleError, match=r"CUDAExecutionProvider|does not multiply bf16"):
            open_session(path, engine=engine, precision=precision, threads=1)
        return
    session = open_session(path, engine=engine, precision=precision, threads=1)
    assert session.outputs == ("probabilities",)

    def ask(start):
        part = {name: array[start:] for name, array in feeds.items()}
        return [session.run(["probabilities"], part)[0] for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        for start, answers in enumerate(pool.map(ask, range(8))):
            for answer in answers:
                np.testing.assert_allclose(answer, expected[start:], atol=TOLERANCES[precision])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_is_no_graph_is_named_in_one_line(engine, tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleError, match=r"x\.onnx: .*cannot") as caught:
        open_session(tmp_path / "x.onnx", engine=engine)
    assert "\n" not in str(caught.value)


def test_unknown_engines_and_precisions_are_refused_with_those_there_are(graphs):
    path, _ = graphs["cv"]
    with pytest.raises(BundleError, match=r"unknown 'openvinno'; did you mean 'openvino'"):
        open_session(path, engine="openvinno")
    with pytest.raises(BundleError, match=r"precision of onnxruntime: unknown 'bf16'"):
        open_session(path, precision="bf16")


def test_openvino_tells_nobody_that_it_was_imported(graphs):
    assert runs_here("openvino", "fp32")
    code = "import sys; from pathlib import Path; from slipway.engines import open_session\n"
    code += "open_session(Path(sys.argv[1]), engine='openvino'); print(sys.modules.get('openvino_telemetry'))"
    found = subprocess.run(
        [sys.executable, "-c", code, graphs["cv"][0]], capture_output=True, text=True, check=True, timeout=120
    )
    assert found.stdout == "None\n"
