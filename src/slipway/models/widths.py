"""Widths of a network's layers: channels taken out of a trained one, and layers fitted to weights that are narrower."""

# B batch, C channels, H/W px

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from slipway.errors import ConfigError
from slipway.models.network import ImageNetwork

LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
"""What has a width that can change; other parameters and buffers keep theirs, and what they read or write does too."""
MULTIPLE = 8
"""Kept channels are a multiple of it from twice as many on: the engine computes in such blocks, and pads. resnet18 at 128 px
without 30 % of its channels was 1.40 and 1.50 times as fast with any number, 1.59 and 1.56 with multiples of 8, 1.67 and 1.56
with 16 (two runs of 7 rounds, one AVX-512 core that others used, too)."""


def prune_channels(model: ImageNetwork, share: float, image_px: tuple[int, int]) -> None:
    """Remove channels, and with them filters: layers become narrower and the network faster.

    Of every set of channels that can only go together (those that a sum joins, of a depthwise convolution and what it reads)
    the share with the smallest weights goes: by the sum of their squares, averaged over the layers that write or read them.

    Args:
        model: trained, on the CPU; changed in place, and in evaluation mode afterwards.
        share: of the channels of each set, [0, 1). The classes stay.
        image_px: height and width of its images.
    Raises: ConfigError: a layer would be left without channels.
    """
    import torch_pruning

    network = model.eval().network.requires_grad_(False)  # other parameters are kept out of the trace, which follows gradients
    layers = {name: module for name, module in network.named_modules() if isinstance(module, LAYERS)}
    for layer in layers.values():
        layer.requires_grad_(True)
    example_BCHW = torch.zeros(1, len(model.mean), *image_px)
    graph = torch_pruning.DependencyGraph().build_dependency(network, example_BCHW, verbose=False)
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
    head = [layer for layer in layers.values() if isinstance(layer, nn.Linear)][-1]
    names = {layer: name for name, layer in layers.items()}
    for group in graph.get_all_groups(ignored_layers=[head], root_module_types=[nn.Conv2d, nn.Linear]):
        importance_C = importance(group)
        kept = _kept(len(importance_C), share)
        if not kept:
            name = names[group[0].dep.target.module]
            raise ConfigError(f"prune_channels: {share:g} leaves none of the {len(importance_C)} channels of {name}; lower it")
        group.prune(idxs=importance_C.argsort(stable=True)[: len(importance_C) - kept].tolist())
    network.requires_grad_(True)


def fit(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give every layer the width that its weights have, so that `load_state_dict` can take them. Values are undefined.

    Args:
        weights: by the names of the model's own, of a network of the same architecture, whose channels were pruned.
    """
    for name, layer in model.named_modules():
        weight = weights.get(f"{name}.weight")
        if weight is None or not isinstance(layer, LAYERS):
            continue
        if isinstance(layer, nn.Conv2d):
            layer.groups = len(weight) if layer.groups > 1 else 1  # groups of one channel: depthwise
            layer.in_channels, layer.out_channels = weight.shape[1] * layer.groups, len(weight)
        elif isinstance(layer, nn.Linear):
            layer.out_features, layer.in_features = weight.shape
        else:
            layer.num_features = len(weight)
        for part, tensor in (*layer.named_parameters(), *layer.named_buffers()):
            tensor.data = tensor.data.new_empty(weights.get(f"{name}.{part}", tensor).shape)


def count(model: nn.Module) -> int:
    """Numbers that training sets; running means of normalisation are not among them."""
    return sum(p.numel() for p in model.parameters())


def _kept(channels: int, share: float) -> int:
    left = channels * (1 - share)
    return min(channels, MULTIPLE * round(left / MULTIPLE)) if left >= 2 * MULTIPLE else round(left)
