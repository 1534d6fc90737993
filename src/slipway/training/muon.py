"""Muon's update: the momentum of a matrix or filter, replaced by the nearest matrix whose singular values are about 1.

After Keller Jordan, "Muon: An optimizer for hidden layers in neural networks", https://kellerjordan.github.io/posts/muon/:
Nesterov momentum, then five steps of a quintic Newton-Schulz iteration, X <- aX + b(XX')X + c(XX')²X, which drives
singular values to between 0.7 and 1.2 and leaves the singular vectors.
"""

# N matrices of equal shape, R rows, C columns; R <= C within the iteration, K = R

from collections import defaultdict

import torch
from torch import Tensor

from slipway.models.runtime import multiplies_bfloat16

A, B, C = 3.4445, -4.7750, 2.0315
"""Coefficients of the source: the steepest slope at 0 with which the iteration stays near 1."""
STEPS = 5
EPSILON = 1e-7
GRAM_FROM = 1.5
"""Columns per row from which iterating on the K x K products alone takes fewer operations: 20R²C + 10R³ against 4R²C + 34R³."""


@torch.no_grad()
def step(
    params: list[Tensor],
    grads: list[Tensor],
    momenta: list[Tensor],
    *,
    rate: float,
    momentum: float,
    weight_decay: float,
) -> None:
    """Change parameters and momenta in place.

    Args:
        params: of 2 or more dimensions; filters count as matrices [out, in * kh * kw].
        rate: of a matrix that is wider than high; sqrt(R / C) times that where there are more rows.
        weight_decay: decoupled: weights shrink by rate * weight_decay.
    """
    torch._foreach_lerp_(momenta, grads, 1 - momentum)
    updates = torch._foreach_lerp(grads, momenta, momentum)
    if weight_decay:
        torch._foreach_mul_(params, 1 - rate * weight_decay)
    like: dict[torch.Size, list[int]] = defaultdict(list)
    for i, p in enumerate(params):
        like[p.shape].append(i)
    for shape, places in like.items():
        matrices_NRC = torch.stack([updates[i] for i in places]).flatten(2)
        factor = max(1.0, matrices_NRC.shape[1] / matrices_NRC.shape[2]) ** 0.5
        turned = orthogonalise(matrices_NRC, dtype_on(matrices_NRC.device)).float().view(-1, *shape)
        torch._foreach_add_([params[i] for i in places], list(turned.unbind()), alpha=-rate * factor)


def dtype_on(device: torch.device) -> torch.dtype:
    """bfloat16, as published, where the device multiplies it; float32 elsewhere, since emulation is slower than that."""
    return torch.bfloat16 if multiplies_bfloat16(device.type) else torch.float32


def orthogonalise(matrices_NRC: Tensor, dtype: torch.dtype) -> Tensor:
    """Every matrix with its singular values at about 1; a matrix of zeros stays one.

    Args:
        matrices_NRC: float32; their scale does not matter.
        dtype: of the arithmetic and the result: float32 or bfloat16. One thread of a processor with AVX512-BF16 took for
            [256, 2304], [128, 1152], [64, 576] 17, 2.5, 0.6 ms in bfloat16, and 16, 2.7, 0.3 ms in float32.
    """
    x_NRC = matrices_NRC / (matrices_NRC.norm(dim=(1, 2), keepdim=True) + EPSILON)
    tall = x_NRC.shape[1] > x_NRC.shape[2]
    x_NRC = (x_NRC.mT if tall else x_NRC).to(dtype)
    rows, columns = x_NRC.shape[1:]
    # On products alone small singular values meet the square root of the precision: too coarse for bfloat16.
    gram = dtype == torch.float32 and columns >= GRAM_FROM * rows
    x_NRC = _iterate_on_products(x_NRC) if gram else _iterate(x_NRC)
    return x_NRC.mT if tall else x_NRC


def _iterate(x_NRC: Tensor) -> Tensor:
    for _ in range(STEPS):
        products_NKK = x_NRC @ x_NRC.mT
        factor_NKK = torch.baddbmm(products_NKK, products_NKK, products_NKK, beta=B, alpha=C)
        x_NRC = torch.baddbmm(x_NRC, factor_NKK, x_NRC, beta=A)
    return x_NRC


def _iterate_on_products(x_NRC: Tensor) -> Tensor:
    """The same: a step multiplies X by a polynomial q of XX', so XX' becomes q(XX')q, and X is only needed at the end."""
    products_NKK = x_NRC @ x_NRC.mT
    total_NKK: Tensor | None = None
    for i in range(STEPS):
        factor_NKK = torch.baddbmm(products_NKK, products_NKK, products_NKK, beta=B, alpha=C)
        factor_NKK.diagonal(dim1=1, dim2=2).add_(A)
        total_NKK = factor_NKK if total_NKK is None else factor_NKK @ total_NKK
        if i < STEPS - 1:
            products_NKK = factor_NKK @ products_NKK @ factor_NKK
    return x_NRC if total_NKK is None else total_NKK @ x_NRC
