"""Parity must notice every way in which a bundle can answer otherwise than the model: each is broken on purpose."""

import dataclasses
import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from slipway import bundle as bundles
from slipway.errors import ParityError
from slipway.export import parity
from slipway.models.architectures import ARCHITECTURES
from slipway.models.restore import restore
from slipway.store import files

GRAPH = "variants/onnxruntime-fp32.onnx"
BROKEN = ["custom_cnn", "defect_small", "tfidf_logreg", "hf_encoder"]


@pytest.fixture
def broken(exported, tmp_path):
    """Copy a bundle, let `change` alter its files, write its manifest anew, and compare it with the checkpoint."""

    def compare(name, change):
        dataset, checkpoint, original = exported(name)
        copy = tmp_path / "bundle"
        shutil.copytree(original, copy)
        change(copy)
        files.write_manifest(copy)
        return parity.compare(checkpoint, bundles.load(copy, threads=1), dataset)

    return compare


@pytest.mark.parametrize("name", BROKEN)
def test_an_untouched_bundle_agrees(name, broken):
    report = broken(name, lambda _: None)
    assert report["relative_error"] < 1e-4
    assert report["top1_agreement"] == 1.0


@pytest.mark.parametrize("name", BROKEN)
def test_any_one_changed_weight_is_noticed(name, broken, exported):
    weights = [w for w in restore(exported(name)[1]).model.state_dict().values() if "float" in str(w.dtype)]

    def change(copy):
        model = onnx.load(copy / GRAPH)
        sums = {parity._sum(np.asarray(w)) for w in weights} | {parity._sum(np.asarray(w).T) for w in weights}
        candidates = [t for t in model.graph.initializer if parity._sum(numpy_helper.to_array(t)) in sums]
        target = candidates[np.random.default_rng(0).integers(len(candidates))]
        values = numpy_helper.to_array(target).copy()
        values.reshape(-1)[-1] = np.nextafter(values.reshape(-1)[-1], np.float32(np.inf))
        target.CopyFrom(numpy_helper.from_array(values, target.name))
        onnx.save(model, copy / GRAPH)

    with pytest.raises(ParityError, match=r"weight '.*' of the checkpoint is not in the bundle's graph"):
        broken(name, change)


@pytest.mark.parametrize(("name", "weight"), [("custom_cnn", "model.network.0.weight"), ("tfidf_logreg", "idf")])
def test_changed_weights_are_noticed_by_the_answers_too(name, weight, broken, monkeypatch):
    monkeypatch.setattr(parity, "_check_weights", lambda *_: None)

    def change(copy):
        model = onnx.load(copy / GRAPH)
        target = next(t for t in model.graph.initializer if t.name == weight)
        values = numpy_helper.to_array(target).copy()
        values[: len(values) // 2] *= 0.9
        target.CopyFrom(numpy_helper.from_array(values, target.name))
        onnx.save(model, copy / GRAPH)

    with pytest.raises(ParityError, match=r"relative error .* worst is (test|validation)/[0-9a-f]{16}"):
        broken(name, change)


def test_swapped_channels_are_noticed(exported):
    dataset, checkpoint, out = exported("custom_cnn")
    bundle = bundles.load(out, threads=1)

    class Swapped:
        kind, input_name = "image", "image"

        def encode(self, items):
            return {"image": np.ascontiguousarray(bundle.preprocess.encode(items)["image"][..., ::-1])}

    with pytest.raises(ParityError, match="does not answer as the trained model"):
        parity.compare(checkpoint, dataclasses.replace(bundle, preprocess=Swapped()), dataset)


def test_swapped_labels_are_noticed_and_named(broken):
    def change(copy):
        meta = bundles._read_json(copy / "bundle.json")
        meta["labels"][0], meta["labels"][1] = meta["labels"][1], meta["labels"][0]
        files.write_json(copy / "bundle.json", meta, sort_keys=False)

    with pytest.raises(ParityError, match="position 0: the model was trained with 'blue', the bundle says 'green'"):
        broken("custom_cnn", change)


def test_swapped_outputs_are_noticed(broken):
    def change(copy):
        model = onnx.load(copy / GRAPH)
        last = model.graph.node[-1]
        last.output[0] = "straight"
        model.graph.initializer.append(numpy_helper.from_array(np.array([1, 0, 2]), "order"))
        model.graph.node.append(onnx.helper.make_node("Gather", ["straight", "order"], ["probabilities"], axis=1))
        onnx.save(model, copy / GRAPH)

    with pytest.raises(ParityError, match=r"trained '.*', bundle '"):
        broken("custom_cnn", change)


def test_another_vocabulary_is_noticed(broken):
    def change(copy):
        words = (copy / "vocabulary.json").read_text()
        (copy / "vocabulary.json").write_text(words.replace('"great"', '"gone"').replace('"awful"', '"great"'))

    with pytest.raises(ParityError, match="does not answer"):
        broken("tfidf_logreg", change)


def test_a_graph_that_answers_not_a_number_is_noticed(broken, monkeypatch):
    def change(copy):
        model = onnx.load(copy / GRAPH)
        target = next(t for t in model.graph.initializer if t.name == "intercept")
        target.CopyFrom(numpy_helper.from_array(np.full(2, np.nan, np.float32), "intercept"))
        onnx.save(model, copy / GRAPH)

    monkeypatch.setattr(parity, "_check_weights", lambda *_: None)
    with pytest.raises(ParityError, match="relative error nan"):
        broken("tfidf_logreg", change)


def test_items_are_taken_from_both_splits_and_not_more_than_needed(exported, monkeypatch):
    dataset, checkpoint, _ = exported("tfidf_logreg")
    monkeypatch.setattr(parity, "ITEMS", 10)
    ids = parity.pick(restore(checkpoint), dataset).ids
    assert [i.split("/")[0] for i in ids] == ["test"] * 5 + ["validation"] * 5
    assert len(set(ids)) == 10


def test_every_family_has_an_architecture_that_is_broken_here():
    assert {ARCHITECTURES[name].family for name in BROKEN} == {entry.family for entry in ARCHITECTURES.values()}
