"""Architectures of torchvision."""

from torch import nn

from slipway.models.cnn import GlobalAveragePool

SMALL_PX = 64
"""Up to this side the stem keeps the resolution: the stock one leaves 1 pixel of 32 before the last stage."""


def resnet18(num_classes: int, channels: int, image_px: int) -> nn.Module:
    """torchvision's ResNet-18; up to SMALL_PX with a 3x3 stride-1 stem without pooling."""
    from torchvision.models import resnet18 as build  # 4 s of imports that the other architectures need not pay

    network: nn.Module = build(num_classes=num_classes)
    if image_px <= SMALL_PX:
        network.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    elif channels != 3:
        network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    network.avgpool = GlobalAveragePool()
    return network
