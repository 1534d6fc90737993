"""Optimizers and the one-cycle schedule.

The arithmetic is torch's own fused kernels. Its Optimizer classes are left out because making one imports torch's
compiler: 2.4 s, more than a quick run trains.
"""

from collections.abc import Mapping
from math import cos, pi
from typing import Any

import torch
from torch import Tensor, nn

from slipway.training.recipe import TrainConfig

MOMENTUM = 0.9
BETAS, EPSILON = (0.9, 0.999), 1e-8
START = 1 / 25
"""Of the peak rate, at step 0."""


class Optimizer:
    """AdamW, or SGD with Nesterov momentum; weight decay on matrices and filters only, not on biases and normalisation.

    What torch's GradScaler asks of an optimizer is here: `param_groups` and `step`.
    """

    def __init__(self, model: nn.Module, config: TrainConfig) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        self._adaptive = config.optimizer == "adamw"
        self.param_groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        for group in self.param_groups:
            names = ("exp_avg", "exp_avg_sq") if self._adaptive else ("momentum",)
            for name in names:
                group[name] = [torch.zeros_like(p) for p in group["params"]]
            group["step"] = [torch.zeros((), device=p.device) for p in group["params"]]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change the parameters by their gradients.

        Args:
            rate: learning rate of this step.
        """
        for group in self.param_groups:
            params, grads = group["params"], [p.grad for p in group["params"]]
            if not params:
                continue
            torch._foreach_add_(group["step"], 1.0)
            if self._adaptive:
                torch._fused_adamw_(
                    params,
                    grads,
                    group["exp_avg"],
                    group["exp_avg_sq"],
                    [],
                    group["step"],
                    lr=rate,
                    beta1=BETAS[0],
                    beta2=BETAS[1],
                    weight_decay=group["weight_decay"],
                    eps=EPSILON,
                    amsgrad=False,
                    maximize=False,
                )
            else:
                torch._fused_sgd_(
                    params,
                    grads,
                    group["momentum"],
                    weight_decay=group["weight_decay"],
                    momentum=MOMENTUM,
                    lr=rate,
                    dampening=0.0,
                    nesterov=True,
                    maximize=False,
                    is_first_step=False,  # a momentum of 0 gives the same
                )

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def state_dict(self) -> dict[str, Tensor]:
        """Everything but the parameters, by name."""
        return {f"{g}.{name}.{i}": tensor for g, name, i, tensor in self._tensors()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over a `state_dict`. Raises: KeyError: it is of another optimizer or network."""
        for g, name, i, tensor in self._tensors():
            tensor.copy_(state[f"{g}.{name}.{i}"])

    def _tensors(self) -> list[tuple[int, str, int, Tensor]]:
        names = ("exp_avg", "exp_avg_sq", "momentum", "step")
        return [
            (g, name, i, tensor)
            for g, group in enumerate(self.param_groups)
            for name in names
            for i, tensor in enumerate(group.get(name, []))
        ]


def learning_rate(config: TrainConfig, step: int, total_steps: int) -> float:
    """The rate of one step: a linear rise from START to the peak, then a cosine to 0. A function of nothing else."""
    rise = max(1, round(config.warmup * total_steps)) if config.warmup else 0
    if step < rise:
        return config.learning_rate * (START + (1 - START) * step / rise)
    done = (step - rise) / max(1, total_steps - rise)
    return config.learning_rate * (1 + cos(pi * done)) / 2
