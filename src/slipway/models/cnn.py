"""Convolutional networks of our own."""

# B batch, C channels, H/W px

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn

from slipway.errors import ConfigError


def lenet5(num_classes: int, channels: int) -> nn.Module:
    """LeNet-5 of 1998: tanh, average pooling, full connections in the third layer; 61,706 parameters of ten gray classes.

    At its home of 32 px the last convolution leaves one pixel; of larger images it leaves more, which are averaged.
    """
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.Tanh(),
        nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5),
        nn.Tanh(),
        GlobalAveragePool(),
        nn.Linear(120, 84),
        nn.Tanh(),
        nn.Linear(84, num_classes),
    )


def custom_cnn(num_classes: int, channels: int, *, width: float = 1.0, dropout: float = 0.3) -> nn.Module:
    """Five blocks of convolutions, each halving the side, and a dense head: 9.76 M parameters at width 1.

    The first two blocks have one convolution and the last three two: the same parameters in the early blocks cost ten
    times the arithmetic.

    Args:
        width: factor on all channel counts; parameters and arithmetic go with its square. In (0, 4].
        dropout: share of the head's activations dropped in training, [0, 1).
    """
    check(width=width, dropout=dropout)
    blocks: list[nn.Module] = []
    before = channels
    for base, convolutions in zip((64, 128, 256, 512, 512), (1, 1, 2, 2, 2), strict=True):
        after = max(8, int(base * width))
        for i in range(convolutions):
            blocks += _convolution(before if i == 0 else after, after)
        blocks.append(nn.MaxPool2d(2))
        before = after
    hidden = 2 * before
    head = [nn.Linear(before, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(hidden, num_classes)]
    return nn.Sequential(*blocks, GlobalAveragePool(), *head)


def defect_small(num_classes: int, channels: int, *, width: float = 1.0, dropout: float = 0.2) -> nn.Module:
    """A stride-2 stem, three residual stages and global average pooling: 0.29 M parameters at width 1, for textures.

    One channel is its home: the stem reads luminance as it is, without three copies of it.

    Args:
        width: as in `custom_cnn`.
        dropout: share of the pooled features dropped in training, [0, 1).
    """
    return _staged(_Stage, (16, 32, 64, 128), num_classes, channels, width, dropout)


def defect_base(num_classes: int, channels: int, *, width: float = 1.0, dropout: float = 0.3) -> nn.Module:
    """A stride-2 stem, four residual stages and global average pooling: 1.38 M parameters at width 1, for 200 px textures.

    0.47 GFLOP forward an image of 200 px (2 a multiply-add): the stem halves the side at once and the early stages are
    narrow, since there a channel costs most. One channel is its home, as of `defect_small`.

    Args:
        width: as in `custom_cnn`.
        dropout: share of the pooled features dropped in training, [0, 1).
    """
    return _staged(_DeepStage, (24, 32, 64, 128, 192), num_classes, channels, width, dropout)


def _staged(
    stage: Callable[[int, int], nn.Module], bases: Sequence[int], num_classes: int, channels: int, width: float, dropout: float
) -> nn.Module:
    """A 5x5 stem of stride 2, then stages, global average pooling and a linear head; `bases`: channels of each at width 1."""
    check(width=width, dropout=dropout)
    stem, *stages = (max(8, int(base * width)) for base in bases)
    layers: list[nn.Module] = [
        nn.Conv2d(channels, stem, 5, stride=2, padding=2, bias=False),
        nn.BatchNorm2d(stem),
        nn.ReLU(inplace=True),
        *(stage(before, after) for before, after in pairwise([stem, *stages])),
    ]
    return nn.Sequential(*layers, GlobalAveragePool(), nn.Dropout(dropout), nn.Linear(stages[-1], num_classes))


class GlobalAveragePool(nn.Module):
    """Mean over H and W; exports to one ReduceMean, where nn.AdaptiveAvgPool2d leaves a dozen shape nodes."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C]."""
        return x_BCHW.mean(dim=(2, 3))


class _Stage(nn.Module):
    """Halve the side, then a residual convolution."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.down = nn.Sequential(*_convolution(before, after, stride=2))
        self.convolution = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.down(x_BCHW)
        return F.relu(x_BCHW + self.norm(self.convolution(x_BCHW)))


class _DeepStage(nn.Module):
    """Halve the side, then a residual of two convolutions."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.down = nn.Sequential(*_convolution(before, after, stride=2))
        *layers, _ = [*_convolution(after, after), *_convolution(after, after)]  # the last ReLU comes after the sum
        self.residual = nn.Sequential(*layers)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.down(x_BCHW)
        return F.relu(x_BCHW + self.residual(x_BCHW))


def _convolution(before: int, after: int, *, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    ]


def check(*, width: float = 1.0, dropout: float = 0.0) -> None:
    """Raises: ConfigError: an option of a builder is out of its range."""
    if not 0 < width <= 4:
        raise ConfigError(f"width: must be above 0 and at most 4, got {width}")
    if not 0 <= dropout < 1:
        raise ConfigError(f"dropout: must be at least 0 and below 1, got {dropout}")
