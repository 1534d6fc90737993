"""A network with its normalisation inside: pixels in, logits out, in training and in the exported graph alike."""

# B batch, H/W px, C channels, K classes

import torch
from torch import Tensor, nn


class ImageNetwork(nn.Module):
    """Casts, scales to [0, 1], normalises per channel, turns NHWC to NCHW and calls the network."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, channels: int) -> None:
        """`network`: float32 [B, C, H, W] -> logits [B, K]. Mean 0 and deviation 1 until `set_normalisation`."""
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def set_normalisation(self, mean_C: Tensor, std_C: Tensor) -> None:
        """Per-channel mean and standard deviation of pixels in [0, 1]; a deviation of 0 (one gray everywhere) becomes 1."""
        self.mean.copy_(mean_C)
        self.std.copy_(torch.where(std_C > 0, std_C, torch.ones_like(std_C)))

    @torch.no_grad()
    def initialise(self, image: Tensor) -> None:
        """Let a network that sets its first filters by the data see some: uint8 [B, H, W, C]. Others do nothing."""
        begin = getattr(self.network, "initialise", None)
        if begin is not None:
            begin(self._normalised(image))

    def forward(self, image: Tensor) -> Tensor:
        """uint8 [B, H, W, C] -> logits [B, K]."""
        logits_BK: Tensor = self.network(self._normalised(image))
        return logits_BK

    def _normalised(self, image: Tensor) -> Tensor:
        x_BHWC = (image.float() / 255 - self.mean) / self.std
        return x_BHWC.permute(0, 3, 1, 2)
