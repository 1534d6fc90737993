"""A small network for 32 px images made for speed: high accuracy per operation, and few passes over memory between them."""

# B batch, C channels, H/W px, F filters, P numbers in a patch

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn

from slipway.models.cnn import GlobalAveragePool, check

WIDTHS = (64, 224, 256)
"""Channels of the blocks at width 1."""
PATCH_PX = 3
WHITENED_SHARE = 0.6
"""Of the 27 directions of an RGB patch the 16 strongest are kept: 32 filters, what matrix units work on at once. In 25,000
images of CIFAR-10 accuracy on validation was 1.5 points higher than with all 12 of 2x2 patches (n = 1)."""
EPSILON = 5e-4
"""Added to the variances of normalised pixels, so that nearly flat directions are not blown up into noise."""
LOGIT_SCALE = 2.0
"""A fresh head's logits are small; so they reach the labels' confidence early. 1 was 1.2 points lower, 1/3 3.2 (n = 1)."""


def fast_cnn(num_classes: int, channels: int, *, width: float = 1.0) -> nn.Module:
    """Whitening, three blocks of convolution, pooling and convolution, and global average pooling; 1.75 M parameters.

    Forward of a 32 px RGB image: 215 MFLOP at width 1, 63 at width 0.5 (2 a multiply-add). Training costs three times
    that, so 50,000 images and 0.30 PFLOP are 9 epochs at width 1, and 0.10 PFLOP are 10 epochs at width 0.5.

    Cost chose what is between the convolutions. In bf16, channels-last, on one Zen 4 core, forward and backward of a value
    take 0.4 ns in ReLU, 1.3 in SiLU, 2.4 in GELU, 1.4 in max pooling, 1.7 in batch norm (6.6 in group norm); so pooling
    comes before the first norm. After 25,000 images of CIFAR-10 GELU, a residual, or a global maximum were within 0.7
    points on validation (n = 1 or 2), as wide as seeds differ, and SiLU 1.2 below.

    Args:
        width: factor on the blocks' channels, which are rounded to multiples of 8. In (0, 4].
    """
    check(width=width)
    return FastCNN(num_classes, channels, [max(8, 8 * round(base * width / 8)) for base in WIDTHS])


class FastCNN(nn.Module):
    """The network of `fast_cnn`. `initialise` before training makes its first filters from the data."""

    def __init__(self, num_classes: int, channels: int, widths: list[int]) -> None:
        super().__init__()
        self.whitening = Whitening(channels)
        before = [len(self.whitening.weight), *widths]
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in zip(before, widths, strict=False)))
        self.pool = GlobalAveragePool()
        self.head = _Head(widths[-1], num_classes, bias=False)

    def initialise(self, x_BCHW: Tensor) -> None:
        """Compute the whitening filters. x_BCHW: float32, normalised training images; some thousands are enough."""
        self.whitening.fit(x_BCHW)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """See `network.ImageNetwork`: float32 [B, C, H, W] -> logits [B, K]."""
        x_BCHW = self.blocks(F.relu(self.whitening(x_BCHW)))
        logits_BK: Tensor = self.head(self.pool(x_BCHW))
        return logits_BK


class Whitening(nn.Module):
    """A convolution whose filters turn patches into uncorrelated numbers of variance 1, each with both signs for the ReLU.

    The filters are state, not parameters: training them is not worth the arithmetic of their gradient. The bias is trained.
    """

    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        numbers = channels * PATCH_PX**2
        half_FP = torch.empty(max(1, round(WHITENED_SHARE * numbers)), numbers)
        nn.init.orthogonal_(half_FP)  # for images without correlations this is the answer
        self.register_buffer("weight", self._both_signs(half_FP))
        self.bias = nn.Parameter(torch.zeros(len(self.weight)))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, F, H - 2, W - 2]."""
        return F.conv2d(x_BCHW, self.weight, self.bias)

    @torch.no_grad()
    def fit(self, x_BCHW: Tensor) -> None:
        """Filters from the strongest directions of the images' patches. Equal images give equal filters.

        Args:
            x_BCHW: float32, normalised.
        """
        numbers = self.weight[0].numel()
        covariance_PP = torch.zeros(numbers, numbers, dtype=torch.float64, device=x_BCHW.device)
        count = 0
        for part_BCHW in torch.split(x_BCHW, 256):
            patches_NP = F.unfold(part_BCHW, PATCH_PX).transpose(1, 2).reshape(-1, numbers).double()
            covariance_PP += patches_NP.T @ patches_NP
            count += len(patches_NP)
        variance_P, directions_PP = torch.linalg.eigh((covariance_PP / count).cpu())  # ascending
        half_FP = (directions_PP / torch.sqrt(variance_P + EPSILON)).T.flip(0)[: len(self.weight) // 2]
        largest_F1 = half_FP.gather(1, half_FP.abs().argmax(dim=1, keepdim=True))
        self.weight.copy_(self._both_signs(half_FP * largest_F1.sign()))  # an eigenvector's sign is the library's whim

    @staticmethod
    def _both_signs(half_FP: Tensor) -> Tensor:
        return torch.cat([half_FP, -half_FP]).reshape(2 * len(half_FP), -1, PATCH_PX, PATCH_PX).float()


class _Head(nn.Linear):
    """A linear layer, scaled."""

    def forward(self, x_BC: Tensor) -> Tensor:
        return super().forward(x_BC) * LOGIT_SCALE


class _Block(nn.Module):
    """Convolution, pooling, convolution: what comes after the pooling costs a quarter of what would come before it."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convolution1 = _convolution(before, after)
        self.pool = nn.MaxPool2d(2)
        self.norm1 = nn.BatchNorm2d(after, momentum=0.2)
        self.convolution2 = _convolution(after, after)
        self.norm2 = nn.BatchNorm2d(after, momentum=0.2)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = F.relu(self.norm1(self.pool(self.convolution1(x_BCHW))), inplace=True)
        return F.relu(self.norm2(self.convolution2(x_BCHW)), inplace=True)


def _convolution(before: int, after: int) -> nn.Conv2d:
    """A convolution that starts by passing its input on: its first filters are the identity."""
    convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
    nn.init.dirac_(convolution.weight[: min(before, after)].detach())
    return convolution
