"""Layer groups of every architecture."""

import pytest

from slipway.models.architectures import ARCHITECTURES, build
from slipway.models.groups import layer_groups

NETWORKS = [name for name, entry in ARCHITECTURES.items() if entry.input == "image"]
ENCODERS = {
    "bert": {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 3},
    "distilbert": {"dim": 8, "hidden_dim": 8, "n_heads": 2, "n_layers": 3},
    "roberta": {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 3},
    "electra": {
        "hidden_size": 8,
        "embedding_size": 4,
        "intermediate_size": 8,
        "num_attention_heads": 2,
        "num_hidden_layers": 3,
    },
}


def check(model, classes):
    groups = layer_groups(model)
    grouped = [id(p) for group in groups for module in group for p in module.parameters()]
    assert len(grouped) == len(set(grouped)), "a parameter is in two groups"
    assert set(grouped) == {id(p) for p in model.parameters()}
    assert all(any(True for module in group for _ in module.parameters()) for group in groups), "a group without weights"
    heads = [p.shape[0] for module in groups[-1] for p in module.parameters()]
    assert heads[-1] == classes, "the classifier is in the last group"
    order = {id(p): i for i, p in enumerate(model.parameters())}
    assert [order[p] for p in grouped] == sorted(order[p] for p in grouped), "from the input to the head"
    return groups


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_of_an_image_network_is_in_one_group(name):
    groups = check(build(name, num_classes=7, image_px=64, channels=3), 7)
    assert 3 <= len(groups) <= 8


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_parameter_of_an_encoder_is_in_one_group(kind):
    config = {"model_type": kind, "vocab_size": 20, "max_position_embeddings": 16, **ENCODERS[kind]}
    groups = check(build("hf_encoder", num_classes=3, encoder=config), 3)
    assert len(groups) >= 5  # embeddings, three layers, head
