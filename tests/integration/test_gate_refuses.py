"""Challengers that are worse on purpose are refused for the right reason; an equal one passes."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from slipway import bundle as bundles
from slipway.data.dataset import Dataset
from slipway.data.datasets import open_dataset
from slipway.data.prepare import PrepareConfig, prepare
from slipway.evaluation import gate, scores
from slipway.evaluation.summary import summarise
from slipway.export.onnx import export
from slipway.training.recipe import TrainConfig
from slipway.training.train import train

pytestmark = pytest.mark.slow
CONFIG = PrepareConfig(family="cv", image_px=32, train_fraction=0.5, validation_fraction=0.1)
GATE = gate.GateConfig(min_accuracy=0.5, min_class_recall=0.0, max_accuracy_drop=0.03)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    base = tmp_path_factory.mktemp("world")
    raw = open_dataset("shapes", family="cv", size=2400)
    raw = replace(raw, items=list(raw.items))
    dataset = prepare(raw, base / "data", CONFIG)
    return base, raw, dataset, bundles.load(trained(dataset, base / "champion"))


def trained(dataset: Dataset, folder, seed=0):
    config = TrainConfig(family="cv", architecture="lenet5", epochs=12, device="cpu", threads=1, seed=seed)
    checkpoint = train(dataset, config, folder / "checkpoint")
    return export(checkpoint, dataset, folder / "bundle")


def judged(world, bundle, folder):
    """The verdict on a bundle, and its comparison with the champion, on the true test split."""
    scored = scores.load(scores.evaluate(bundles.load(bundle), world[2], folder / "scores", champion=world[3]))
    verdict = gate.judge(scored, GATE)
    return {rule.name: rule for rule in verdict.rules}, gate.comparison(scored, GATE.max_accuracy_drop)


def test_an_equal_one_passes(world, tmp_path):
    rules, told = judged(world, trained(world[2], tmp_path, seed=1), tmp_path)
    assert all(rule.passed for rule in rules.values()), told


def test_one_whose_class_was_relabelled_is_worse_and_the_class_is_named(world, tmp_path):
    _, raw, _, _ = world
    first, second = raw.labels[:2]
    spoiled = [replace(item, label=second) if item.label == first and i % 3 else item for i, item in enumerate(raw.items)]
    rules, told = judged(world, trained(prepare(replace(raw, items=spoiled), tmp_path / "data", CONFIG), tmp_path), tmp_path)
    assert not rules["non_inferior"].passed
    assert rules["non_inferior"].reason.startswith("worse than the champion")
    (row,) = [row for row in told["classes"] if row["p_corrected"] < 0.05 and row["difference"] < 0]
    assert row["label"] == first


def test_one_that_learned_from_blurred_images_is_worse(world, tmp_path):
    _, raw, _, _ = world
    blur = ImageFilter.GaussianBlur(12)
    blurred = [
        replace(item, content=np.asarray(Image.open(io.BytesIO(item.content)).convert("RGB").filter(blur)))
        for item in raw.items
    ]
    rules, _ = judged(world, trained(prepare(replace(raw, items=blurred), tmp_path / "data", CONFIG), tmp_path), tmp_path)
    assert not rules["non_inferior"].passed
    assert rules["non_inferior"].reason.startswith("worse than the champion")


def test_one_that_is_too_sure_is_refused_for_that_alone(world, tmp_path):
    """Its answers are the champion's; its probabilities are those of a temperature ten times too low."""
    dataset, champion = world[2], world[3]
    scored = scores.load(scores.evaluate(champion, dataset, tmp_path / "scores", champion=None))
    sharp = scored.probabilities_NK**10
    sharp = (sharp / sharp.sum(axis=1, keepdims=True)).astype(np.float32)
    summary = {**scored.summary, **summarise(scored.labels_N, sharp)}
    ceiling = replace(GATE, max_calibration_error=0.05)
    assert gate.judge(scored, ceiling).verdict == "pass"
    verdict = gate.judge(replace(scored, summary=summary, probabilities_NK=sharp), ceiling)
    assert [rule.name for rule in verdict.rules if not rule.passed] == ["calibration_error"]
