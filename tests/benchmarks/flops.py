"""What training costs: the operations of a network, and how fast this machine multiplies matrices."""

import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slipway.data.dataset import Dataset
from slipway.models.restore import Restored, restore
from slipway.models.voting import Voting
from slipway.training.loop import DTYPES

SIDE, LEAST_SIDE = 2048, 256
LONGEST_S = 2.0
"""Of one product: bf16 without instructions for it is 500 times slower than fp32, and gets a smaller side."""
SAMPLED_TEXTS = 256


def forward_flop(model: nn.Module, *inputs: torch.Tensor) -> int:
    """FLOP of one call, 2 a multiply-add: of matrix products and convolutions, as torch counts them."""
    model.eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    return int(counter.get_total_flops())


def training_flop(checkpoint: Path, dataset: Dataset) -> int:
    """FLOP that led to a checkpoint: 3 x forward x items x epochs; 0 of a model that is no network.

    Validation, a teacher and texts' padding are not counted; frozen layers are, though they cost a third.
    """
    restored = restore(checkpoint)
    if not isinstance(restored.model, nn.Module):
        return 0
    members = list(restored.model.members) if isinstance(restored.model, Voting) else [restored.model]
    forward = sum(forward_flop(member, *_one_item(restored, dataset)) for member in members) / len(members)
    return round(3 * forward * len(dataset.label_indices("train")) * len(restored.meta["history"]))


def _one_item(restored: Restored, dataset: Dataset) -> tuple[torch.Tensor, ...]:
    if dataset.kind == "image":
        return (torch.zeros(1, *restored.preprocess.shape, dtype=torch.uint8),)
    masks_NL = restored.preprocess.encode(dataset.texts("train")[:SAMPLED_TEXTS])["attention_mask"]  # a random sample
    mask_1L = torch.ones(1, round(masks_NL.sum(axis=1).mean()), dtype=torch.int64)
    return torch.zeros_like(mask_1L), mask_1L


def matrix_rate(precision: str, *, repeats: int = 5) -> float:
    """FLOP/s of square matrix products on torch's present threads; the best of `repeats`, since other work only slows them.

    Args:
        precision: `fp32` or `bf16`.
    """
    rate, side = _rate(LEAST_SIDE, DTYPES[precision], repeats), SIDE
    while side > LEAST_SIDE and 2 * side**3 > LONGEST_S * rate:
        side //= 2
    return _rate(side, DTYPES[precision], repeats)


def _rate(side: int, dtype: torch.dtype, repeats: int) -> float:
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    best_s = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        torch.mm(a, b)
        best_s = min(best_s, time.perf_counter() - started)
    return 2 * side**3 / best_s
