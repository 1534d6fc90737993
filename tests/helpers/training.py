"""Configurations that train each architecture in a moment."""

import json

from slipway.data.datasets import open_dataset
from slipway.data.prepare import PrepareConfig, prepare
from slipway.export.onnx import export
from slipway.models.architectures import ARCHITECTURES
from slipway.training.recipe import TrainConfig
from slipway.training.train import train

WIDTHS = {"custom_cnn": 0.125, "fast_cnn": 0.25, "defect_small": 0.5, "defect_base": 0.25}
WORDS = ["the", "film", "was", "a", "story", "of", "two", "men", "fine", "great", "lovely", "poor", "awful", "dull"]


def tiny_encoder(folder):
    """A folder with the configuration and vocabulary of a one-layer BERT, and no weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "bert",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "max_position_embeddings": 64,
        "vocab_size": 64,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    return folder


def config(architecture, tmp_path, **changes) -> TrainConfig:
    """A fast configuration of the architecture; one thread, since more cost more than they give on a busy machine."""
    settings = {"epochs": 2, "batch_size": 8, "threads": 1, "device": "cpu", "learning_rate": 0.01}
    settings["width"] = WIDTHS.get(architecture, 1.0)
    if architecture == "hf_encoder":
        settings |= {"pretrained": str(tiny_encoder(tmp_path / "encoder")), "max_tokens": 32}
    return TrainConfig(family=ARCHITECTURES[architecture].family, architecture=architecture, **settings | changes)


def trained(name, architecture, folder, *, size, epochs):
    """(data set, checkpoint, bundle) of a tiny network that has learnt an embedded data set, in some seconds."""
    family = ARCHITECTURES[architecture].family
    data = prepare(open_dataset(name, family=family, size=size), folder / "data", PrepareConfig(family=family))
    checkpoint = train(data, config(architecture, folder, epochs=epochs, batch_size=32), folder / "checkpoint")
    return data, checkpoint, export(checkpoint, data, folder / "bundle")
