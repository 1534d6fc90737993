"""Class activation maps in closed form: where in an image a network finds each class, from its forward pass alone.

Zhou et al., 2016: if the logits are linear in the globally averaged features, z_k = sum_c w_kc mean_hw(a_c), then the cell at
(h, w) adds w_kc a_c(h, w) / (H W), summed over c, to class k. Its positive part is Grad-CAM (Selvaraju et al., 2017).
"""

# B batch, C channels, H/W cells of the last features, K classes

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn

from slipway.models.cnn import GlobalAveragePool
from slipway.models.network import ImageNetwork

TOLERANCE = 1e-4
"""Of a logit, relative to the largest: a head that is not linear is off by far more."""


@dataclass(frozen=True)
class ActivationMap:
    """What the map needs beside the network."""

    pool: nn.Module
    """Its input are the features."""
    weight_KC: Tensor
    """Of the head."""

    def watched(self, model: nn.Module, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """One forward pass of the model: its logits [B, K], and what each cell adds to each class's logit [B, K, H, W]."""
        logits_BK, features_BCHW = _pooled(self.pool, model, *inputs)
        cells = features_BCHW.shape[2] * features_BCHW.shape[3]
        return logits_BK, F.conv2d(features_BCHW, self.weight_KC[:, :, None, None] / cells)


@torch.no_grad()
def activation_map(model: nn.Module, image: Tensor) -> ActivationMap | None:
    """The closed form of a network, or None where its head is not linear in globally averaged features.

    Found by what it computes, not by its class: maps and the head's bias must add up to the logits.

    Args:
        model: in evaluation mode.
        image: any two or more that differ, uint8 [B, H, W, C].
    """
    if not isinstance(model, ImageNetwork):  # several vote, or one sees several views
        return None
    pools = [module for module in model.modules() if isinstance(module, GlobalAveragePool)]
    heads = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if len(pools) != 1 or not heads:
        return None
    head = heads[-1]
    _, features_BCHW = _pooled(pools[0], model, image)
    if features_BCHW.shape[1] != head.in_features:  # there are layers between
        return None
    bias_K = head(torch.zeros(head.in_features))
    found = ActivationMap(pools[0], (head(torch.eye(head.in_features)) - bias_K).T)
    logits_BK, map_BKHW = found.watched(model, image)
    difference = (map_BKHW.sum(dim=(2, 3)) + bias_K - logits_BK).abs().max()
    return found if difference <= TOLERANCE * logits_BK.abs().max() else None


def _pooled(pool: nn.Module, model: nn.Module, *inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The model's logits, and what its pooling reads on the way."""
    seen: list[Tensor] = []
    watching = pool.register_forward_pre_hook(lambda _pool, args: seen.append(args[0]))
    try:
        logits_BK = model(*inputs)
    finally:
        watching.remove()
    (features_BCHW,) = seen
    return logits_BK, features_BCHW
