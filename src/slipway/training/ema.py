"""A moving average of the weights: what it gives is validated and kept, while training goes on with the weights themselves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_UPDATES = "updates"
_AVERAGE = "average."


class Average:
    """An exponential moving average of a model's floating-point parameters and buffers; integer buffers are copied.

    Batch norm's running statistics are averaged too: those of the moment belong to other weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Starts at the model's present weights.

        Args:
            decay: share of the average that an update leaves, [0, 1). The first updates leave less, see `update`.
        """
        self._decay, self._updates = decay, 0
        self._average = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model's weights by 1 - decay; after t updates decay is at most (1 + t) / (10 + t).

        Without that, the random weights of the start would stay in the average for 1 / (1 - decay) steps.
        """
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        moved: list[Tensor] = []
        moved_to: list[Tensor] = []
        copied: list[Tensor] = []
        copied_from: list[Tensor] = []
        for average, tensor in self._pairs(model):
            (moved if average.is_floating_point() else copied).append(average)
            (moved_to if average.is_floating_point() else copied_from).append(tensor)
        torch._foreach_lerp_(moved, moved_to, 1 - decay)
        if copied:
            torch._foreach_copy_(copied, copied_from)
        self._updates += 1

    @contextmanager
    def swapped(self, model: nn.Module) -> Iterator[None]:
        """The model has the averaged weights inside, and its own again afterwards, to the bit; changes made inside are lost."""
        pairs = self._pairs(model)
        own = [tensor.clone() for _, tensor in pairs]
        try:
            with torch.no_grad():
                for average, tensor in pairs:
                    tensor.copy_(average)
            yield
        finally:
            with torch.no_grad():
                for kept, (_, tensor) in zip(own, pairs, strict=True):
                    tensor.copy_(kept)

    def state_dict(self) -> dict[str, Tensor]:
        """The average and the number of updates, by name; not copies."""
        return {f"{_AVERAGE}{name}": tensor for name, tensor in self._average.items()} | {_UPDATES: torch.tensor(self._updates)}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over a `state_dict`. Raises: KeyError: it is of another network."""
        for name, tensor in self._average.items():
            tensor.copy_(state[f"{_AVERAGE}{name}"])
        self._updates = int(state[_UPDATES])

    def _pairs(self, model: nn.Module) -> list[tuple[Tensor, Tensor]]:
        # Looked up each time: a model that moved to another device or layout has new buffers.
        live = model.state_dict()
        return [(average, live[name]) for name, average in self._average.items()]
