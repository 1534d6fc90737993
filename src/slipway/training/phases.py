"""What trains when: a plan of phases, and the freezing of layer groups."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from slipway.errors import ConfigError
from slipway.training.recipe import TrainConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """Some epochs with one set of trainable layer groups, an optimizer and a schedule of their own."""

    first: int
    """Its first epoch, from 1."""
    epochs: int
    groups: int
    """How many layer groups train, counted from the head."""

    @property
    def last(self) -> int:
        """Its last epoch."""
        return self.first + self.epochs - 1


def plan(config: TrainConfig, groups: int) -> list[Phase]:
    """The phases of a run over a network of `groups` layer groups; their epochs add up to the configuration's.

    Raises: ConfigError: fewer groups than fine_tune asks for.
    """
    word, _, number = config.fine_tune.partition(":")
    if word == "top":
        if int(number) > groups:
            raise ConfigError(f"fine_tune: {config.resolved_architecture} has {groups} layer groups, got '{config.fine_tune}'")
        return [Phase(first=1, epochs=config.epochs, groups=int(number))]
    if word == "head":
        return [Phase(first=1, epochs=config.epochs, groups=1)]
    if word == "two_phase":
        rest = config.epochs - config.head_epochs
        return [
            Phase(first=1, epochs=config.head_epochs, groups=1),
            Phase(first=config.head_epochs + 1, epochs=rest, groups=groups),
        ]
    if word == "progressive":
        count = min(groups, config.epochs)
        phases: list[Phase] = []
        for i in range(count):
            first, after = (config.epochs * k // count + 1 for k in (i, i + 1))
            phases.append(Phase(first=first, epochs=after - first, groups=-(-groups * (i + 1) // count)))
        return phases
    return [Phase(first=1, epochs=config.epochs, groups=groups)]


def phase_of(phases: Sequence[Phase], epoch: int) -> Phase:
    """The phase that an epoch belongs to."""
    return next(phase for phase in phases if phase.first <= epoch <= phase.last)


def freeze(model: nn.Module, groups: Sequence[Sequence[nn.Module]], trainable: int) -> None:
    """Let the last `trainable` groups train, and no other parameter. Call `train_mode` before each epoch."""
    model.requires_grad_(False)
    for group in groups[len(groups) - trainable :]:
        for module in group:
            module.requires_grad_(True)


def train_mode(model: nn.Module, groups: Sequence[Sequence[nn.Module]], trainable: int) -> None:
    """Training mode, but frozen groups stay as they are served: their batch norms keep the statistics they came with."""
    model.train()
    for group in groups[: len(groups) - trainable]:
        for module in group:
            module.eval()
