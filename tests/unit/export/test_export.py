import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from slipway import bundle as bundles
from slipway.errors import ConfigError, DataError
from slipway.export import torch_graph
from slipway.export.calibrate import softmax
from slipway.export.onnx import export
from slipway.models.architectures import ARCHITECTURES
from slipway.models.cnn import GlobalAveragePool
from slipway.models.restore import restore
from slipway.store import files
from tests.helpers import datasets

ALL = [pytest.param(name, marks=pytest.mark.slow) if name == "resnet18" else name for name in ARCHITECTURES]


@pytest.mark.parametrize("name", ALL)
def test_the_bundle_of_every_architecture_answers_raw_items_as_the_restored_model_does(name, exported):
    dataset, _, out = exported(name)
    bundle = bundles.load(out, threads=1)
    raw = dataset.raw("test")[:5]
    restored = restore(out)
    logits = restored.logits(restored.preprocess.encode(raw)) / bundle.meta["calibration"]["temperature"]
    np.testing.assert_allclose(bundle.predict(raw), softmax(logits), atol=1e-5)
    assert bundles.selftest(bundle) < 1e-6


@pytest.mark.parametrize("name", ALL)
def test_the_graph_is_self_contained_and_says_nothing_of_this_machine(name, exported):
    import onnx

    dataset, checkpoint, out = exported(name)
    model = onnx.load(out / "variants" / "onnxruntime-fp32.onnx")
    for initializer in model.graph.initializer:  # tens of megabytes of random bits hold any three letters
        initializer.raw_data = b""
    for trace in (str(checkpoint.parent), str(Path.cwd()), sys.prefix, ".py"):
        assert trace.encode() not in model.SerializeToString()
    assert model.opset_import[0].version == 20
    assert {p.key: p.value for p in model.metadata_props} == {
        "family": dataset.family,
        "labels": json.dumps(list(dataset.labels)),
        "checkpoint": files.read_manifest(checkpoint).digest,
    }
    assert not any(n.metadata_props or n.doc_string for n in model.graph.node)
    batch = {i.type.tensor_type.shape.dim[0].dim_param for i in [*model.graph.input, *model.graph.output]}
    assert len(batch) == 1
    assert batch != {""}


@pytest.mark.parametrize("name", ["tfidf_logreg", "defect_small"])
def test_the_bundle_says_where_it_comes_from(name, exported):
    dataset, checkpoint, out = exported(name)
    meta = json.loads((out / "bundle.json").read_text())
    assert meta["data"]["fingerprint"] == dataset.fingerprint
    assert meta["training"]["checkpoint"] == files.read_manifest(checkpoint).digest
    assert meta["config"]["architecture"] == name
    assert meta["environment"]["threads"] == 1
    assert len(meta["code"]) == 64
    calibration = meta["calibration"]
    assert calibration["kept"] == (calibration["log_loss_after"] < calibration["log_loss_before"])
    assert meta["parity"]["n"] == sum(len(dataset.label_indices(split)) for split in ("test", "validation"))


def test_the_reference_counts_every_validation_item(exported):
    for name, kind in (("custom_cnn", "brightness"), ("tfidf_logreg", "length"), ("hf_encoder", "length")):
        dataset, _, out = exported(name)
        with np.load(out / "reference.npz") as reference:
            count = len(dataset.label_indices("validation"))
            assert reference["confidence_counts"].sum() == count
            assert reference[f"{kind}_counts"].sum() == count
            assert reference["class_prior"].sum() == pytest.approx(1)
        assert (out / "reference.npz").stat().st_size < 1_000_000


def test_another_data_set_than_the_checkpoints_is_refused(exported, tmp_path):
    _, checkpoint, _ = exported("tfidf_logreg")
    with pytest.raises(DataError, match="was trained on tiny"):
        export(checkpoint, datasets.texts(tmp_path / "other", count=60, seed=9), tmp_path / "out")
    assert not (tmp_path / "out").exists()


EXPORT = """
import sys
from pathlib import Path
from slipway.data.dataset import Dataset
from slipway.export.calibrate import softmax
from slipway.export.onnx import export
data, checkpoint, out = map(Path, sys.argv[1:])
export(checkpoint, Dataset.load(data), out)
"""


@pytest.mark.parametrize(
    "name",
    ["tfidf_logreg", pytest.param("custom_cnn", marks=pytest.mark.slow), pytest.param("hf_encoder", marks=pytest.mark.slow)],
)
def test_fresh_processes_export_byte_for_byte_the_same_bundle(name, exported, tmp_path):
    dataset, checkpoint, here = exported(name)
    for seed in ("1", "2"):
        command = [sys.executable, "-W", "error", "-c", EXPORT, str(dataset.path), str(checkpoint), str(tmp_path / seed)]
        done = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    digests = {files.verify(path).digest for path in (tmp_path / "1", tmp_path / "2", here)}
    assert len(digests) == 1


def grad_cam(network, image, index):
    """By automatic differentiation, of the features that are pooled: ReLU of their sum, weighted by mean gradients."""
    kept = []
    pool = next(m for m in network.modules() if isinstance(m, GlobalAveragePool))
    hook = pool.register_forward_pre_hook(lambda _pool, args: kept.append(args[0]))
    with torch.enable_grad():
        logits = network(image)
        hook.remove()
        (gradient,) = torch.autograd.grad(logits[0, index], kept[0])
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    return (weights * kept[0]).sum(dim=1).relu()[0].detach().numpy()


DENSE_HEADS = {"lenet5", "custom_cnn"}


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("tfidf_logreg", "hf_encoder")])
def test_the_heatmap_in_the_graph_is_grad_cam(name, exported):
    dataset, _, out = exported(name)
    bundle, network = bundles.load(out, threads=1), restore(out).model
    assert bundle.has_heatmap == (name not in DENSE_HEADS)
    if not bundle.has_heatmap:
        return
    feeds = bundle.preprocess.encode(dataset.raw("test")[:3])
    maps = bundle.heatmap(feeds)
    for i, image in enumerate(feeds["image"]):
        for index in range(len(bundle.labels)):
            expected = grad_cam(network, torch.from_numpy(image[None]), index)
            np.testing.assert_allclose(np.maximum(maps[i, index], 0), expected, atol=1e-4 * max(1, expected.max()))
    assert maps.std(axis=(2, 3)).max() > 0 or maps.shape[2:] == (1, 1)


class Bessel(torch.nn.Module):
    def forward(self, x):
        return torch.special.i0e(x)


class Branch(torch.nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (Bessel(), r"test_export\.py:\d+ of 1, `return torch\.special\.i0e\(x\)`: No ONNX function found for .*bessel_i0e"),
        (Branch(), r"test_export\.py:\d+, `return x if x\.sum\(\) > 0 else -x`: Could not guard on data-dependent"),
    ],
)
def test_what_no_graph_can_do_is_refused_with_its_module_and_line(layer, says):
    served = torch_graph.Served(torch.nn.Sequential(torch.nn.ReLU(), layer), 1.0, None).eval()
    with pytest.raises(ConfigError, match=rf"^the network cannot be exported: .*{says}") as caught:
        torch_graph.program(served, {"image": torch.randn(2, 4)}, ({0: torch.export.Dim("batch")},))
    assert "\n" not in str(caught.value)
