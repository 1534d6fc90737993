"""An ensemble with test-time augmentation is one graph, proven like any other."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from slipway import bundle as bundles
from slipway.errors import ParityError
from slipway.export import parity
from slipway.export.calibrate import softmax
from slipway.export.onnx import export
from slipway.models.restore import restore
from slipway.store import files
from tests.helpers import checkpoints, datasets

GRAPH = "variants/onnxruntime-fp32.onnx"


@pytest.fixture(scope="module")
def voted(tmp_path_factory):
    """(data set, checkpoint, bundle) of two different networks that look six times."""
    base = tmp_path_factory.mktemp("voting")
    dataset = datasets.images(base / "data")
    checkpoint = checkpoints.write(dataset, base / "checkpoint", tta="mirror_shift")
    return dataset, checkpoint, export(checkpoint, dataset, base / "bundle")


def test_the_bundle_of_an_ensemble_answers_as_its_members_do(voted):
    dataset, _, out = voted
    bundle = bundles.load(out, threads=1)
    raw = dataset.raw("test")[:]
    expected = restore(out).logits(bundle.preprocess.encode(raw)) / bundle.meta["calibration"]["temperature"]
    np.testing.assert_allclose(bundle.predict(raw), softmax(expected), atol=1e-6)
    assert bundle.predict(raw).std(axis=0).min() > 1e-4  # or nothing was compared
    assert bundles.selftest(bundle) < 1e-6
    assert bundle.meta["parity"]["relative_error"] < 1e-4
    assert len(bundle.predict(raw[:1])) == 1


def test_the_bundle_says_who_votes(voted):
    _, checkpoint, out = voted
    trained, served = (
        json.loads((path / name).read_text()) for path, name in ((checkpoint, "model.json"), (out, "bundle.json"))
    )
    assert [m["architecture"] for m in served["members"]] == ["lenet5", "custom_cnn"]
    assert (served["members"], served["tta"]) == (trained["members"], "mirror_shift")


def test_every_member_is_in_the_graph_once(voted):
    _, checkpoint, out = voted
    graph = onnx.load(out / GRAPH).graph
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    filters = [name for name, w in restore(checkpoint).model.state_dict().items() if name.endswith("weight") and w.ndim == 4]
    assert len(convolutions) == len(filters)


@pytest.mark.parametrize("member", [0, 1])
def test_one_changed_weight_of_any_member_is_noticed(member, voted, tmp_path):
    dataset, checkpoint, original = voted
    copy = tmp_path / "bundle"
    shutil.copytree(original, copy)
    model = onnx.load(copy / GRAPH)
    target = next(t for t in model.graph.initializer if t.name == f"model.members.{member}.network.0.weight")
    values = numpy_helper.to_array(target).copy()
    values.flat[-1] = np.nextafter(values.flat[-1], np.float32(np.inf))
    target.CopyFrom(numpy_helper.from_array(values, target.name))
    onnx.save(model, copy / GRAPH)
    files.write_manifest(copy)
    with pytest.raises(ParityError, match=rf"weight 'members\.{member}\.network\.0\.weight' of the checkpoint is not in"):
        parity.compare(checkpoint, bundles.load(copy, threads=1), dataset)


def test_a_single_network_is_exported_with_its_views_and_plain_names(voted, tmp_path):
    dataset = voted[0]
    checkpoint = checkpoints.write(dataset, tmp_path / "checkpoint", checkpoints.MEMBERS[:1], tta="mirror")
    out = export(checkpoint, dataset, tmp_path / "bundle")
    bundle = bundles.load(out, threads=1)
    assert "members" not in bundle.meta
    assert bundle.meta["tta"] == "mirror"
    images_NHWC = np.asarray(dataset.arrays("test")[0])
    np.testing.assert_allclose(
        bundle.run({"image": images_NHWC}), bundle.run({"image": np.ascontiguousarray(images_NHWC[:, :, ::-1])}), atol=1e-6
    )
