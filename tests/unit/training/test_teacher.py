"""Distillation: what the teacher is asked, in which order it answers, and that a student follows it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from slipway import bundle as bundles
from slipway.data.datasets import open_dataset
from slipway.data.prepare import PrepareConfig, prepare
from slipway.data.raw import Item, RawData
from slipway.errors import ConfigError
from slipway.export.onnx import export
from slipway.preprocess.image import ImagePreprocess
from slipway.store import files
from slipway.training import given
from slipway.training import teacher as teachers
from slipway.training.recipe import TrainConfig
from slipway.training.teacher import kd_loss, soft_targets, soften
from slipway.training.text import LEAST_WEIGHT, _weighted, fit_tfidf
from slipway.training.train import train
from tests.helpers import datasets
from tests.helpers.bundles import LABELS, image, make_bundle, make_release


def reviews(path, *, size, seed=0):
    raw = open_dataset("reviews", family="nlp", size=size, seed=seed, root=path)
    return prepare(raw, path, PrepareConfig(family="nlp", train_fraction=0.6, validation_fraction=0.2))


def pictures(path, *, family="cv", px=32, count=30):
    """Smooth noise with the classes of `make_bundle`'s bundles."""
    rng = np.random.default_rng(0)
    names = LABELS[family]
    channels = 3 if family == "cv" else 1
    items = [Item(image(rng, px, channels), names[i % len(names)], f"{i}") for i in range(count)]
    raw = RawData(name="pictures", kind="image", labels=names, items=items, image_px=px)
    return prepare(raw, path, PrepareConfig(family=family, train_fraction=0.6, validation_fraction=0.2))


def relabelled(bundle, labels):
    """The same answers under other names."""
    meta = json.loads((bundle / "bundle.json").read_text())
    files.write_json(bundle / "bundle.json", {**meta, "labels": list(labels)}, sort_keys=False)
    files.write_manifest(bundle)
    return bundle


def config(family, teacher, **changes):
    return TrainConfig(family=family, teacher=str(teacher), threads=1, **changes)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_texts_are_answered_as_the_served_teacher_does(split, tmp_path):
    dataset = reviews(tmp_path / "data", size=200)
    release = make_release(make_bundle("nlp", tmp_path / "bundle"), tmp_path / "release")
    soft_NK = soft_targets(dataset, config("nlp", release), split)
    assert soft_NK.dtype == np.float32
    expected = bundles.load(release, threads=1).predict([text.encode() for text in dataset.texts(split)])
    np.testing.assert_array_equal(soft_NK, expected)
    np.testing.assert_array_equal(soft_NK, soft_targets(dataset, config("nlp", release), split))


@pytest.mark.parametrize(("family", "px"), [("cv", 32), ("cv", 48), ("defect", 64)])
def test_images_of_any_size_go_through_the_teachers_own_preprocessing(family, px, tmp_path):
    dataset = pictures(tmp_path / "data", family=family, px=px)
    path = make_bundle(family, tmp_path / "bundle")
    bundle = bundles.load(path, threads=1)
    side, _, channels = bundle.preprocess.shape
    preprocess = ImagePreprocess(height_px=side, width_px=side, channels=channels)
    expected = bundle.run({"image": np.stack([preprocess(np.array(pixels)) for pixels in dataset.arrays("train")[0]])})
    np.testing.assert_allclose(soft_targets(dataset, config(family, path)), expected, atol=1e-6)
    assert expected.std(axis=0).min() > 0.01  # or nothing was compared


def test_a_teacher_in_a_store_is_fetched_to_the_cache(tmp_path, monkeypatch):
    dataset = pictures(tmp_path / "data")
    path = make_bundle("cv", tmp_path / "bundle")
    asked = []
    monkeypatch.setattr(given, "fetch", lambda uri, into: asked.append((uri, into)) or path)
    soft_NK = soft_targets(dataset, config("cv", "s3://store/teacher"), cache=tmp_path / "cache")
    assert asked == [("s3://store/teacher", tmp_path / "cache")]
    np.testing.assert_array_equal(soft_NK, soft_targets(dataset, config("cv", path)))


def test_classes_come_in_the_data_sets_order(tmp_path):
    dataset = pictures(tmp_path / "data")
    path = make_bundle("cv", tmp_path / "bundle")
    straight_NK = soft_targets(dataset, config("cv", path))
    other = relabelled(make_bundle("cv", tmp_path / "other"), ("triangle", "circle", "square"))
    permuted_NK = soft_targets(dataset, config("cv", other))
    assert dataset.labels == ("circle", "square", "triangle")
    np.testing.assert_array_equal(permuted_NK, straight_NK[:, [1, 2, 0]])


def test_other_classes_are_refused_and_named(tmp_path):
    dataset = pictures(tmp_path / "data")
    other = relabelled(make_bundle("cv", tmp_path / "other"), ("circle", "star", "cross"))
    with pytest.raises(ConfigError, match="missing square, triangle; extra cross, star; learn from"):
        soft_targets(dataset, config("cv", other))


def test_many_other_classes_do_not_fill_the_screen():
    assert teachers._few({f"c{i:02}" for i in range(13)}).endswith("c09 and 3 more")
    assert teachers._few(set()) == "none"


def test_a_teacher_of_another_family_is_refused(tmp_path):
    dataset = pictures(tmp_path / "data")
    for family in ("defect", "nlp"):
        with pytest.raises(ConfigError, match=f"is of family {family}, .* of cv; learn from a bundle of family cv"):
            soft_targets(dataset, config("cv", make_bundle(family, tmp_path / family)))


def test_what_is_no_teacher_is_refused_with_its_name(tmp_path):
    dataset = pictures(tmp_path / "data")
    broken = make_bundle("cv", tmp_path / "broken")
    (broken / "weights.safetensors").write_bytes(b"")
    for path, message in (
        (tmp_path / "absent", "teacher: .*absent: no such directory"),
        (dataset.path, "teacher: .*data is no bundle .*export the checkpoint first"),
        (broken, "teacher: .*weights.safetensors"),
        ("s3://store/teacher", "teacher: s3://store/teacher is in a store, and there is no folder to fetch it to"),
    ):
        with pytest.raises(ConfigError, match=message):
            soft_targets(dataset, config("cv", path))


def test_a_teacher_that_saw_held_out_items_is_told(tmp_path, capfd):
    dataset = pictures(tmp_path / "data")
    path = make_bundle("cv", tmp_path / "bundle")
    soft_targets(dataset, config("cv", path))
    assert capfd.readouterr().err == ""
    seen = np.sort(np.concatenate([dataset.item_hashes("train"), dataset.item_hashes("test")[:2]]))
    np.save(path / "train_items.npy", seen)
    files.write_manifest(path)
    soft_targets(dataset, config("cv", path))
    assert f"was trained on 2 of the {len(dataset.label_indices('test'))} test items" in capfd.readouterr().err


def test_long_work_says_how_far_it_is(tmp_path, capfd, monkeypatch):
    dataset = reviews(tmp_path / "data", size=200)
    monkeypatch.setattr(teachers, "SAY_EVERY_S", 0.0)
    count = len(soft_targets(dataset, config("nlp", make_bundle("nlp", tmp_path / "bundle"))))
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == f"teacher: {bundles.BATCH} of {count} items answered"
    assert lines[-1] == f"teacher: {count} of {count} items answered"


def test_softening_divides_the_logits():
    logits_NK = np.random.default_rng(0).normal(0, 3, (5, 4))
    probabilities_NK = soften(np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True), 2.0)
    scaled_NK = np.exp(logits_NK / 2)
    np.testing.assert_allclose(probabilities_NK, scaled_NK / scaled_NK.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_is_the_divergence_of_both_softened(temperature):
    rng = np.random.default_rng(0)
    teacher_BK, student_BK = (soften(rng.dirichlet(np.ones(4), 6), 1.0) for _ in range(2))
    theirs, mine = (soften(p, temperature) for p in (teacher_BK, student_BK))
    expected = temperature**2 * (theirs * np.log(theirs / mine)).sum(axis=1).mean()
    logits_BK = torch.from_numpy(np.log(student_BK)) + 7  # a constant changes no probability
    found = kd_loss(logits_BK, torch.from_numpy(teacher_BK).float(), temperature)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_at_temperature_1_the_gradient_is_that_of_soft_labels():
    generator = torch.Generator().manual_seed(0)
    soft_BK = torch.softmax(torch.randn(3, 5, generator=generator), dim=1).requires_grad_()
    logits_BK = torch.randn(3, 5, generator=generator, requires_grad=True)
    (mine,) = torch.autograd.grad(kd_loss(logits_BK, soft_BK, 1.0), logits_BK, retain_graph=True)
    (theirs,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits_BK, soft_BK.detach()), logits_BK)
    torch.testing.assert_close(mine, theirs)


def test_a_student_that_agrees_with_a_certain_teacher_has_no_loss_and_one_that_does_not_a_finite_one():
    sure_BK = torch.tensor([[1.0, 0.0, 0.0]])
    assert float(kd_loss(torch.tensor([[200.0, 0.0, 0.0]]), sure_BK, 1.0)) == pytest.approx(0, abs=1e-6)
    logits_BK = torch.tensor([[0.0, 200.0, 0.0]], requires_grad=True)
    loss = kd_loss(logits_BK, sure_BK, 1.0)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(200)
    assert torch.isfinite(logits_BK.grad).all()


def test_rows_carry_the_shares_of_the_mixed_targets_and_no_class_vanishes():
    labels_N = np.array([0, 2, 1])
    soft_NK = np.array([[0.7, 0.3, 0], [1, 0, 0], [0, 0.5, 0.5]], np.float32)
    half = TrainConfig(family="nlp", teacher="x", teacher_weight=0.5, teacher_temperature=1.0)
    items_R, classes_R, weights_R = _weighted(labels_N, soft_NK, half)
    assert list(zip(items_R, classes_R, strict=True)) == [(0, 0), (0, 1), (1, 0), (1, 2), (2, 1), (2, 2)]
    np.testing.assert_allclose(weights_R, [0.85, 0.15, 0.5, 0.5, 0.75, 0.25], atol=1e-6)
    alone = TrainConfig(family="nlp", teacher="x", teacher_weight=1.0, teacher_temperature=1.0)
    items_R, classes_R, weights_R = _weighted(labels_N, soft_NK, alone)
    assert (1, 2) in zip(items_R, classes_R, strict=True)  # the label that the teacher rules out
    assert weights_R[(items_R == 1) & (classes_R == 2)] < LEAST_WEIGHT


def test_a_teacher_of_no_weight_changes_nothing():
    texts, labels_N = ["good film", "bad film", "good", "bad"], np.array([1, 0, 1, 0])
    settings = TrainConfig(family="nlp", teacher="x", teacher_weight=0.0)
    soft_NK = np.full((4, 2), 0.5, np.float32)
    plain, distilled = (
        fit_tfidf((texts, labels_N), (texts, labels_N), ("bad", "good"), settings, soft_NK=soft)[0] for soft in (None, soft_NK)
    )
    np.testing.assert_allclose(distilled.coefficients_KV, plain.coefficients_KV, atol=1e-3)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """(few reviews, a teacher's bundle that learnt from many)."""
    base = tmp_path_factory.mktemp("taught")
    many = reviews(base / "many", size=1000, seed=1)
    checkpoint = train(many, TrainConfig(family="nlp", threads=1), base / "checkpoint")
    return reviews(base / "few", size=200), export(checkpoint, many, base / "bundle")


@pytest.mark.parametrize("changes", [{}, {"teacher_weight": 1.0, "teacher_temperature": 1.0}])
def test_a_distilled_student_answers_more_like_its_teacher(changes, taught):
    few, path = taught
    settings = config("nlp", path, **changes)
    splits = [(few.texts(split), few.label_indices(split)) for split in ("train", "validation")]
    unseen = few.texts("test")
    theirs_NK = bundles.load(path, threads=1).predict(unseen)

    def divergence(soft_NK):
        """Of the student from the teacher, at the student's best temperature, as export would fit it."""
        model, preprocess, _ = fit_tfidf(*splits, few.labels, settings, soft_NK=soft_NK)
        logits_NK = torch.from_numpy(model(**preprocess.encode(unseen)))
        teacher_NK = torch.from_numpy(theirs_NK)
        return min(float(kd_loss(logits_NK / t, teacher_NK, 1.0)) for t in np.geomspace(0.1, 10, 41))

    assert divergence(soft_targets(few, settings)) < divergence(None)


def test_a_linear_student_does_not_wait_for_torch(tmp_path):
    dataset = datasets.texts(tmp_path / "data")
    path = relabelled(make_bundle("nlp", tmp_path / "bundle"), dataset.labels)
    code = f"""
import sys
from pathlib import Path
from slipway.data.dataset import Dataset
from slipway.training.recipe import TrainConfig
from slipway.training.teacher import soft_targets
from slipway.training.text import fit_tfidf
dataset = Dataset.load(Path({str(dataset.path)!r}))
config = TrainConfig(family="nlp", teacher={str(path)!r}, threads=1)
splits = [(dataset.texts(s), dataset.label_indices(s)) for s in ("train", "validation")]
fit_tfidf(*splits, dataset.labels, config, soft_NK=soft_targets(dataset, config))
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
