"""Channels taken out of every architecture: the right ones, all that hang together, and fitted back by the weights."""

import pytest
import torch
from torch import nn

from slipway.errors import ConfigError
from slipway.models import widths
from slipway.models.architectures import ARCHITECTURES, build
from slipway.models.widths import count, fit, prune_channels
from tests.helpers.training import WIDTHS

IMAGES = [name for name, entry in ARCHITECTURES.items() if entry.input == "image"]
PX = 40


def network(name, *, seed=0, width=None):
    """A random network for gray images, in evaluation mode."""
    torch.manual_seed(seed)
    width = width or WIDTHS.get(name)
    model = build(name, num_classes=5, image_px=PX, channels=1, **({"width": width} if width else {})).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model


def images():
    return torch.randint(0, 256, (3, PX, PX, 1), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@torch.no_grad()
def silence_every_other_channel(model):
    """Channels 0, 2, 4 ... of every layer say nothing, and nobody listens to them; so in any sum and concatenation."""
    *layers, head = [m for m in model.network.modules() if isinstance(m, widths.LAYERS)]
    for i, layer in enumerate([*layers, head]):
        if layer is not head:
            for tensor in layer.parameters():
                tensor[::2] = 0
        reads_one = isinstance(layer, nn.Conv2d) and layer.groups > 1
        if i > 0 and layer.weight.ndim > 1 and not reads_one:
            layer.weight[:, ::2] = 0


@pytest.mark.parametrize("name", IMAGES)
def test_channels_that_say_nothing_go_and_the_answers_stay(name, monkeypatch):
    monkeypatch.setattr(widths, "MULTIPLE", 1)
    model = network(name)
    silence_every_other_channel(model)
    image, before = images(), count(model)
    logits_BK = model(image)
    prune_channels(model, 0.5, (PX, PX))
    assert count(model) < 0.3 * before
    torch.testing.assert_close(model(image), logits_BK, rtol=1e-3, atol=1e-5)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", IMAGES)
def test_weights_tell_the_widths(name):
    model = network(name)
    prune_channels(model, 0.3, (PX, PX))
    other = network(name, seed=1)
    fit(other, model.state_dict())
    other.load_state_dict(model.state_dict())
    assert [m.extra_repr() for m in other.modules()] == [m.extra_repr() for m in model.modules()]
    assert torch.equal(other(images()), model(images()))


def test_what_was_pruned_can_be_pruned_again():
    model = network("defect_base")
    sizes = [count(model)]
    for _ in range(2):
        prune_channels(model, 0.3, (PX, PX))
        sizes.append(count(model))
    assert sizes == sorted(sizes, reverse=True)
    assert model(images()).shape == (3, 5)


def test_wide_layers_keep_a_multiple_of_what_the_engine_computes_at_once():
    model = network("resnet18")
    prune_channels(model, 0.3, (PX, PX))
    assert {m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)} == {48, 88, 176, 360}


def test_a_layer_keeps_a_channel_or_the_share_is_refused():
    with pytest.raises(ConfigError, match=r"prune_channels: 0\.95 leaves none of the 8 channels of 0; lower it"):
        prune_channels(network("defect_small", width=0.5), 0.95, (PX, PX))
