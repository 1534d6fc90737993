"""Architectures of torchvision: its networks and names of weights, with our stem, pooling and classifier."""

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from slipway.models.cnn import GlobalAveragePool, check

SMALL_PX = 64
"""Up to this side the first layers keep the resolution: the stock ones leave 1 pixel of 32 before the last stage."""


def resnet18(num_classes: int, channels: int, image_px: int) -> nn.Module:
    """torchvision's ResNet-18; up to SMALL_PX with a 3x3 stride-1 stem without pooling."""
    return _resnet("resnet18", num_classes, channels, image_px)


def resnet50(num_classes: int, channels: int, image_px: int) -> nn.Module:
    """torchvision's ResNet-50, with the stem of `resnet18`."""
    return _resnet("resnet50", num_classes, channels, image_px)


def mobilenet_v2(num_classes: int, channels: int, image_px: int, *, dropout: float = 0.2) -> nn.Module:
    """torchvision's MobileNetV2; up to SMALL_PX the stem and the first stage that would halve the side do not.

    Args:
        dropout: share of the pooled features dropped in training, [0, 1).
    """
    check(dropout=dropout)
    return _pooled(_keep_resolution(_build("mobilenet_v2", num_classes, dropout=dropout), channels, image_px))


def efficientnet_b0(num_classes: int, channels: int, image_px: int, *, dropout: float = 0.2) -> nn.Module:
    """torchvision's EfficientNet-B0; small images as in `mobilenet_v2`.

    Args:
        dropout: as in `mobilenet_v2`.
    """
    check(dropout=dropout)
    network = _keep_resolution(_build("efficientnet_b0", num_classes, dropout=dropout), channels, image_px)
    for module in network.modules():
        if isinstance(getattr(module, "avgpool", None), nn.AdaptiveAvgPool2d):
            module.avgpool = _SpatialMean()  # of squeeze-and-excitation
    return _pooled(network)


def densenet121(num_classes: int, channels: int, image_px: int) -> nn.Module:
    """torchvision's DenseNet-121, with the stem of `resnet18`."""
    network = _build("densenet121", num_classes)
    network.features.conv0 = _stem(network.features.conv0, channels, image_px)
    if image_px <= SMALL_PX:
        network.features.pool0 = nn.Identity()
    return _pooled(network, relu=nn.ReLU(inplace=True))


class _SpatialMean(nn.Module):
    """Mean over H and W, kept as axes; one ReduceMean, as `GlobalAveragePool`."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.mean(dim=(2, 3), keepdim=True)


def _build(name: str, num_classes: int, **options: Any) -> Any:
    from torchvision import models  # 4 s of imports that the other architectures need not pay

    return getattr(models, name)(num_classes=num_classes, **options)


def _resnet(name: str, num_classes: int, channels: int, image_px: int) -> nn.Module:
    network: nn.Module = _build(name, num_classes)
    network.conv1 = _stem(network.conv1, channels, image_px)
    if image_px <= SMALL_PX:
        network.maxpool = nn.Identity()
    network.avgpool = GlobalAveragePool()
    return network


def _stem(stock: Any, channels: int, image_px: int) -> nn.Conv2d:
    """The first convolution for so many channels: torchvision's 7x7 of stride 2, for small images 3x3 of stride 1."""
    if image_px <= SMALL_PX:
        return nn.Conv2d(channels, stock.out_channels, 3, padding=1, bias=False)
    return _of_channels(stock, channels)


def _of_channels(stock: Any, channels: int) -> nn.Conv2d:
    if channels == stock.in_channels:
        kept: nn.Conv2d = stock
        return kept
    return nn.Conv2d(
        channels, stock.out_channels, stock.kernel_size, stride=stock.stride, padding=stock.padding, bias=stock.bias is not None
    )


def _keep_resolution(network: Any, channels: int, image_px: int) -> Any:
    """Fit the first convolution of a `features` network to the channels and, for small images, its first two strides."""
    network.features[0][0] = _of_channels(network.features[0][0], channels)
    if image_px <= SMALL_PX:
        strided = [m for m in network.features.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
        for convolution in strided[:2]:
            convolution.stride = (1, 1)
    return network


def _pooled(network: Any, **after_features: nn.Module) -> nn.Module:
    """A `features` network, with the names of its weights, around our pooling: torchvision's is code, not a module."""
    layers = {"features": network.features, **after_features, "pool": GlobalAveragePool(), "classifier": network.classifier}
    return nn.Sequential(OrderedDict(layers))
