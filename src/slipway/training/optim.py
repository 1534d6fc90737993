"""Optimizers: which parameters learn together, and a step of AdamW, SGD or Muon.

The arithmetic is torch's own fused kernels. Its Optimizer classes are left out because making one imports torch's
compiler: 2.4 s, more than a quick run trains.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from slipway.training import muon
from slipway.training.recipe import TrainConfig

BETAS, EPSILON = (0.9, 0.999), 1e-8
STATES = {"adamw": ("exp_avg", "exp_avg_sq", "step"), "sgd": ("momentum",), "muon": ("momentum",)}
"""What each kind keeps per parameter: a tensor like it, or for `step` a number."""


def parameter_groups(model_groups: Sequence[Sequence[nn.Module]], config: TrainConfig) -> list[dict[str, Any]]:
    """Parameters that are stepped alike, for `Optimizer`.

    Weight decay is for matrices and filters, not for biases and normalisation. Muon is for matrices and filters of hidden
    layers; the first layer, embeddings, the head and all biases get AdamW.

    Args:
        model_groups: modules from input to head, as `models.groups.layer_groups` gives them. Frozen parameters are left
            out, but their groups count for `layer_decay`.
    Returns: groups with the keys params, kind, weight_decay and rate_factor; a parameter's rate is the schedule's times
        rate_factor. Within a group parameters are in the order of the modules.
    """
    plain = _never_orthogonalised(model_groups)
    other = (config.other_rate or config.learning_rate) / config.learning_rate
    groups: dict[tuple[str, float, float], dict[str, Any]] = {}
    seen: set[int] = set()
    for i, modules in enumerate(model_groups):
        layer_factor = config.layer_decay ** (len(model_groups) - 1 - i)
        for name, p in (named for module in modules for named in module.named_parameters()):
            assert id(p) not in seen, f"{name}: the parameter is in two layer groups"
            seen.add(id(p))
            if not p.requires_grad:
                continue
            hidden = p.ndim > 1 and id(p) not in plain
            kind = "adamw" if config.optimizer == "muon" and not hidden else config.optimizer
            factor = layer_factor * (other if config.optimizer == "muon" and not hidden else 1.0)
            decay = config.weight_decay if p.ndim > 1 else 0.0
            fresh = {"params": [], "kind": kind, "weight_decay": decay, "rate_factor": factor}
            groups.setdefault((kind, decay, factor), fresh)["params"].append(p)
    return list(groups.values())


def _never_orthogonalised(model_groups: Sequence[Sequence[nn.Module]]) -> set[int]:
    """ids of the head's parameters, of embeddings, and of the first layer that has a matrix: their rows or columns are not
    alike, so that equal singular values mean nothing there."""
    plain = {id(p) for module in model_groups[-1] for p in module.parameters()}
    first = [p for module in model_groups[0] for p in module.parameters() if p.ndim > 1][:1]
    embeddings = [
        p
        for modules in model_groups
        for module in modules
        for part in module.modules()
        if isinstance(part, nn.Embedding)
        for p in part.parameters()
    ]
    return plain | {id(p) for p in (*first, *embeddings)}


class Optimizer:
    """AdamW, SGD with Nesterov momentum, or Muon, for each group what it says.

    What torch's GradScaler asks of an optimizer is here: `param_groups` and `step`. A model that is to be channels-last
    must be so before: the fused kernels take memory as it lies, and only look at shapes.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], config: TrainConfig) -> None:
        """`groups`: of `parameter_groups`."""
        self._momentum = config.momentum
        self.param_groups: list[dict[str, Any]] = [dict(group) for group in groups]
        for group in self.param_groups:
            for name in STATES[group["kind"]]:
                like = (torch.zeros((), device=p.device) if name == "step" else torch.zeros_like(p) for p in group["params"])
                group[name] = list(like)

    @torch.no_grad()
    def step(self, rate: float, momentum: float | None = None) -> None:
        """Change the parameters by their gradients; one without a gradient stays.

        Args:
            rate: learning rate of this step, before the groups' factors.
            momentum: of sgd and muon in this step; none means the configuration's.
        """
        momentum = self._momentum if momentum is None else momentum
        for group in self.param_groups:
            states = [group[name] for name in STATES[group["kind"]]]
            rows = [row for row in zip(group["params"], *states, strict=True) if row[0].grad is not None]
            if not rows:
                continue
            params, *kept = (list(column) for column in zip(*rows, strict=True))
            grads = [p.grad for p in params]
            group_rate, decay = rate * group["rate_factor"], group["weight_decay"]
            if group["kind"] == "adamw":
                exp_avgs, exp_avg_sqs, steps = kept
                torch._foreach_add_(steps, 1.0)
                torch._fused_adamw_(
                    params,
                    grads,
                    exp_avgs,
                    exp_avg_sqs,
                    [],
                    steps,
                    lr=group_rate,
                    beta1=BETAS[0],
                    beta2=BETAS[1],
                    weight_decay=decay,
                    eps=EPSILON,
                    amsgrad=False,
                    maximize=False,
                )
            elif group["kind"] == "sgd":
                torch._fused_sgd_(
                    params,
                    grads,
                    kept[0],
                    weight_decay=decay,
                    momentum=momentum,
                    lr=group_rate,
                    dampening=0.0,
                    nesterov=momentum > 0,
                    maximize=False,
                    is_first_step=False,  # a momentum of 0 gives the same
                )
            else:
                muon.step(params, grads, kept[0], rate=group_rate, momentum=momentum, weight_decay=decay)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def state_dict(self) -> dict[str, Tensor]:
        """Everything but the parameters, by name; not copies."""
        return {
            f"{g}.{name}.{i}": tensor
            for g, group in enumerate(self.param_groups)
            for name in STATES[group["kind"]]
            for i, tensor in enumerate(group[name])
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over a `state_dict`. Raises: KeyError: it is of another optimizer or network."""
        own = self.state_dict()
        if own.keys() != state.keys():
            raise KeyError(*sorted(own.keys() ^ state.keys())[:1])
        for name, tensor in own.items():
            tensor.copy_(state[name])
