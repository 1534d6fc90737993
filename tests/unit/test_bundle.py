import json
import shutil
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from slipway import bundle as bundles
from slipway import engines
from slipway.errors import BundleError, DataError
from slipway.store import files
from tests.helpers.bundles import FAMILIES, LABELS, make_bundle, make_items, make_release


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    root = tmp_path_factory.mktemp("bundles")
    return {family: make_bundle(family, root / family) for family in FAMILIES}


@pytest.fixture
def copy(originals, tmp_path):
    """A bundle of the cv family, to be damaged."""
    return shutil.copytree(originals["cv"], tmp_path / "cv")


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    files.write_manifest(path.parent)


@pytest.mark.parametrize("family", FAMILIES)
def test_loaded_bundle_answers_as_it_was_saved(originals, family):
    bundle = bundles.load(originals[family])
    probabilities = bundle.predict(make_items(family, 5))
    assert probabilities.shape == (5, len(LABELS[family]))
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (bundle.family, bundle.labels, bundle.variant) == (family, LABELS[family], "onnxruntime-fp32")
    assert bundles.selftest(bundle) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_answer_does_not_depend_on_the_batch(originals, family):
    bundle, items = bundles.load(originals[family]), make_items(family, bundles.BATCH + 3)
    together = bundle.predict(items)
    alone = np.concatenate([bundle.predict([item]) for item in items])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert bundle.predict([]).shape == (0, len(bundle.labels))


def test_item_that_cannot_be_read_is_named_by_its_position_in_the_whole_batch(originals):
    bundle = bundles.load(originals["cv"])
    with pytest.raises(DataError, match=r"^item 2: not an image"):
        bundle.predict([*make_items("cv", 2), b"x"])
    with pytest.raises(DataError, match=rf"^item {bundles.BATCH + 1}: not an image"):
        bundle.predict([*make_items("cv", 1) * (bundles.BATCH + 1), b"x"])


def test_phases_are_told_once_per_chunk(originals):
    told = []
    items = make_items("nlp", bundles.BATCH + 1)
    bundles.load(originals["nlp"]).predict(items, observe=lambda phase, seconds: told.append((phase, seconds > 0)))
    assert told == [("preprocess", True), ("model", True)] * 2


def test_equal_content_gives_equal_digests_and_another_weight_another(tmp_path, originals):
    again = files.read_manifest(make_bundle("cv", tmp_path / "again")).digest
    other = files.read_manifest(make_bundle("cv", tmp_path / "other", seed=1)).digest
    assert again == files.read_manifest(originals["cv"]).digest
    assert again != other


def test_times_do_not_change_the_digest(copy):
    before = bundles.load(copy).digest
    files.write_json(copy / "timings.json", {"export_s": 99.0})
    files.write_manifest(copy)
    assert bundles.load(copy).digest == before


@pytest.mark.parametrize(
    "name",
    [
        "bundle.json",
        "weights.safetensors",
        "variants/onnxruntime-fp32.onnx",
        "train_items.npy",
        "selftest.npz",
        "reference.npz",
    ],
)
@pytest.mark.parametrize("damage", ["flip a bit", "cut", "remove"])
def test_damaged_file_is_named(copy, name, damage):
    path = copy / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip a bit" else data[:-1])
    with pytest.raises(BundleError, match="missing" if damage == "remove" else "altered") as caught:
        bundles.load(copy)
    assert str(path) in str(caught.value)


def test_file_that_is_not_in_the_manifest_is_named(copy):
    (copy / "model.pkl").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"model\.pkl: not listed"):
        bundles.load(copy)


def test_directory_without_manifest_is_not_a_bundle(copy):
    (copy / files.MANIFEST).unlink()
    with pytest.raises(BundleError, match=r"no MANIFEST\.json"):
        bundles.load(copy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda meta: meta.update(format=2), "bundle format 2, this version reads 1; upgrade slipway"),
        (lambda meta: meta["preprocess"].update(version=2), "preprocessing version 2"),
        (lambda meta: meta["preprocess"].update(kind="audio"), "unknown 'audio'"),
    ],
    ids=["bundle", "preprocessing version", "preprocessing kind"],
)
def test_newer_format_is_refused(copy, change, words):
    edit(copy / "bundle.json", change)
    with pytest.raises(BundleError, match=words):
        bundles.load(copy)


@pytest.mark.parametrize("missing", ["variants", "preprocess", "labels"])
def test_incomplete_description_is_refused(copy, missing):
    edit(copy / "bundle.json", lambda meta: meta.pop(missing))
    with pytest.raises(BundleError, match=missing):
        bundles.load(copy)


def test_newer_manifest_is_refused(copy):
    path = copy / files.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(BundleError, match="format 2, this version reads 1"):
        bundles.load(copy)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd"])
def test_manifest_that_points_outside_is_refused(copy, name):
    path = copy / files.MANIFEST
    manifest = json.loads(path.read_text())
    manifest["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    path.write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="points outside"):
        bundles.load(copy)


@pytest.mark.parametrize("family", FAMILIES)
def test_selftest_fails_when_one_weight_is_changed(originals, tmp_path, family):
    import onnx
    from onnx import numpy_helper

    copy = shutil.copytree(originals[family], tmp_path / family)
    path = copy / "variants" / "onnxruntime-fp32.onnx"
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.name in ("head", "coefficients"))
    weights = numpy_helper.to_array(tensor).copy()
    used = bundles.load(originals[family]).preprocess.encode(selftest_items(originals[family]))
    row = 1500 if family != "nlp" else used["ids"][0, 0]
    weights[row, 0] += 1
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    onnx.save(model, path)
    files.write_manifest(copy)  # an honest manifest of a wrong model: only the self-test can tell
    with pytest.raises(BundleError, match=r"self-test of onnxruntime-fp32 differs by .*, allowed is 0\.001"):
        bundles.selftest(bundles.load(copy))


def selftest_items(path):
    with np.load(path / "selftest.npz") as stored:
        return bundles.unpack_bytes(stored["bytes"], stored["offsets"])


def test_unreadable_graph_is_named(copy):
    path = copy / "variants" / "onnxruntime-fp32.onnx"
    path.write_bytes(b"not a graph")
    files.write_manifest(copy)
    with pytest.raises(BundleError, match=r"onnxruntime-fp32\.onnx: onnxruntime cannot load it"):
        bundles.load(copy)


def test_unknown_variant_is_refused_with_those_there_are(originals):
    with pytest.raises(BundleError, match=r"unknown 'onnxruntime-int8'.*Known: onnxruntime-fp32"):
        bundles.load(originals["cv"], variant="onnxruntime-int8")


def test_release_has_the_bundles_digest_and_answers(originals, tmp_path):
    release = bundles.load(make_release(originals["cv"], tmp_path / "release"))
    bundle = bundles.load(originals["cv"])
    assert release.digest == bundle.digest
    assert release.release["variant"] == release.variant
    np.testing.assert_array_equal(release.predict(make_items("cv", 3)), bundle.predict(make_items("cv", 3)))


def test_release_of_another_bundle_is_refused(originals, tmp_path):
    release = make_release(originals["cv"], tmp_path / "release")
    edit(release / bundles.RELEASE, lambda value: value.update(bundle="f" * 64))
    with pytest.raises(BundleError, match=r"release\.json is for bundle ffffffffffff"):
        bundles.load(release)


@pytest.fixture
def ordered(originals, tmp_path):
    """A release that would rather be served by OpenVINO, from the same file."""
    bundles.with_variants(bundles.load(originals["cv"]), tmp_path / "bundle", {"openvino-fp32": (bundles.BASE, {})})
    return make_release(tmp_path / "bundle", tmp_path / "release", order=("openvino-fp32", bundles.BASE))


def test_a_release_is_served_by_its_first_choice(ordered, originals):
    loaded = bundles.load(ordered, prove=True)
    assert (loaded.variant, loaded.passed_over) == ("openvino-fp32", {})
    items = make_items("cv", 70)
    np.testing.assert_allclose(loaded.predict(items), bundles.load(originals["cv"]).predict(items), atol=1e-5)


def test_a_release_falls_to_its_next_choice_and_says_why(ordered, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    engines._openvino_core.cache_clear()
    loaded = bundles.load(ordered, prove=True)
    assert loaded.variant == bundles.BASE
    assert "install slipway[openvino]" in loaded.passed_over["openvino-fp32"]
    with pytest.raises(BundleError, match=r"install slipway\[openvino\]"):
        bundles.load(ordered, variant="openvino-fp32")


def test_a_variant_that_does_not_prove_itself_is_passed_over(ordered, tmp_path):
    with np.load(ordered / bundles.SELFTEST) as stored:
        answers = dict(stored)
    answers["probabilities-openvino-fp32"] += 0.1
    wrong = shutil.copytree(ordered, tmp_path / "wrong")
    np.savez(wrong / bundles.SELFTEST, **answers)
    digest = files.digest_of({k: v for k, v in files.write_manifest(wrong).files.items() if k != bundles.RELEASE})
    edit(wrong / bundles.RELEASE, lambda value: value.update(bundle=digest))
    assert bundles.load(wrong).variant == "openvino-fp32", "only who asks for proof"
    loaded = bundles.load(wrong, prove=True)
    assert loaded.variant == bundles.BASE
    assert "self-test of openvino-fp32 differs by 0.1" in loaded.passed_over["openvino-fp32"]
    answers["probabilities"] += 0.1
    np.savez(wrong / bundles.SELFTEST, **answers)
    digest = files.digest_of({k: v for k, v in files.write_manifest(wrong).files.items() if k != bundles.RELEASE})
    edit(wrong / bundles.RELEASE, lambda value: value.update(bundle=digest))
    with pytest.raises(BundleError, match=r"runs none of its variants: .*openvino-fp32 differs .*onnxruntime-fp32"):
        bundles.load(wrong, prove=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_in_a_bundle_is_a_pickle(originals, family):
    for path in originals[family].rglob("*"):
        if path.suffix in (".npz", ".npy"):
            stored = np.load(path, allow_pickle=False)
            for name in getattr(stored, "files", []):
                assert stored[name].dtype != object
        elif path.suffix == ".safetensors":
            assert load_file(path)


def test_bytes_survive_packing():
    items = [b"", b"a", b"\x00\xff" * 3, b""]
    assert bundles.unpack_bytes(*bundles.pack_bytes(items)) == items
