"""Pretrained weights of image networks: taken over whole, or refused by name."""

import pytest
import torch
from safetensors.torch import save_file

from slipway.errors import ConfigError
from slipway.models.architectures import build
from slipway.models.pretrained import MEAN, load


@pytest.fixture
def weights(tmp_path):
    """A MobileNetV2 of 1000 classes, as torchvision has it."""
    torch.manual_seed(3)
    state = build("mobilenet_v2", num_classes=1000, image_px=96, channels=3).network.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors", state


def test_the_body_is_taken_over_and_another_classifier_stays_fresh(weights):
    path, state = weights
    model = build("mobilenet_v2", num_classes=10, image_px=96, channels=3)
    fresh = load(model, str(path), "mobilenet_v2")
    mine = model.network.state_dict()
    assert sorted(fresh) == ["classifier.1.bias", "classifier.1.weight"]
    assert all(torch.equal(mine[name], state[name]) for name in state if name not in fresh)
    assert model.mean.tolist() == pytest.approx(MEAN)


def test_a_gray_network_sums_the_colours_of_the_first_filters(weights):
    path, state = weights
    model = build("mobilenet_v2", num_classes=10, image_px=96, channels=1)
    assert "features.0.0.weight" not in load(model, str(path), "mobilenet_v2")
    torch.testing.assert_close(model.network.features[0][0].weight.detach().sum(), state["features.0.0.weight"].sum())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("features.1.conv.0.0.weight"), "1 missing, such as features.1.conv.0.0.weight"),
        (lambda s: s.update(extra=torch.zeros(1)), "1 unknown, such as extra"),
        (lambda s: s.update({"features.18.1.bias": torch.zeros(3)}), r"1 of another shape.*features.18.1.bias \(3,\) for"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(weights, tmp_path, change, message):
    state = {name: tensor.contiguous() for name, tensor in weights[1].items()}
    change(state)
    save_file(state, tmp_path / "other.safetensors")
    model = build("mobilenet_v2", num_classes=10, image_px=96, channels=3)
    with pytest.raises(ConfigError, match=message):
        load(model, str(tmp_path / "other.safetensors"), "mobilenet_v2")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.safetensors", "there is no such file"),
        ("weights.pth", "is a pickle"),
        ("broken.safetensors", "no safetensors"),
    ],
)
def test_files_that_cannot_be_weights_are_refused(tmp_path, name, message):
    if name.startswith("broken"):
        (tmp_path / name).write_bytes(b"nonsense")
    model = build("mobilenet_v2", num_classes=10, image_px=96, channels=3)
    with pytest.raises(ConfigError, match=message):
        load(model, str(tmp_path / name), "mobilenet_v2")
