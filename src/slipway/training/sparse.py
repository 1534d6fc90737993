"""Weights that are zero and stay so: the smallest of all convolutions and linear layers together."""

import torch
from torch import Tensor, nn

from slipway.errors import ConfigError


class Zeros:
    """The smallest weights of a network by magnitude, set to zero, and again after every step.

    Whatever moves them between, weight decay, momentum or an optimizer that mixes a matrix's entries, comes to nothing.
    """

    def __init__(self, model: nn.Module, share: float) -> None:
        """Chosen once, by the weights of now; those that are zero are among them.

        Args:
            share: of all weights of convolutions and linear layers, (0, 1); biases and norms do not count.
        Raises: ConfigError: a layer would be left without weights.
        """
        named = _weights(model)
        # On the CPU: CUDA finds no k-th value deterministically.
        magnitudes_N = torch.cat([weight.detach().abs().flatten().cpu() for weight in named.values()])
        limit = magnitudes_N.kthvalue(max(1, round(share * len(magnitudes_N)))).values.item()
        self._rows = [(weight, weight.detach().abs() <= limit) for weight in named.values()]
        for name, (_, zero) in zip(named, self._rows, strict=True):
            if zero.all():
                raise ConfigError(f"sparsity: {share:g} leaves {name} without weights; lower it")
        self.keep()

    @torch.no_grad()
    def keep(self) -> None:
        """Set them to zero."""
        for weight, zero in self._rows:
            weight.masked_fill_(zero, 0.0)


def sparsity(model: nn.Module) -> float:
    """Share of zeros among the weights of convolutions and linear layers, [0, 1]."""
    weights = _weights(model).values()
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: m.weight for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
