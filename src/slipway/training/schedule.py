"""How fast to learn at a step, and when to stop: functions of the configuration and the history alone.

Nothing is kept between calls, so that a resumed run goes on as if it had never stopped.
"""

from collections.abc import Sequence
from math import cos, inf, pi

from slipway.training.recipe import TrainConfig

START = 1 / 25
"""Of the peak rate, at step 0."""
SWING = 0.05
"""one_cycle: the momentum moves so far either way, less where it would leave [0, 1). Smith 2018, arXiv:1803.09820."""
DROP = 0.1
"""plateau: factor on the rate per drop."""


def rate_at(config: TrainConfig, step: int, total_steps: int, *, drops: int = 0) -> tuple[float, float]:
    """The learning rate and the momentum of one step.

    Args:
        step: from 0, within the phase.
        total_steps: of the phase.
        drops: what `plateau_drops` gave; only the plateau schedule looks at it.
    """
    rise = max(1, round(config.warmup * total_steps)) if config.warmup else 0
    rising = step < rise
    done = step / rise if rising else min(1.0, (step - rise) / max(1, total_steps - rise))
    if config.schedule == "one_cycle":
        height = (1 - cos(pi * done)) / 2 if rising else (1 + cos(pi * done)) / 2
        share = START + (1 - START) * height if rising else height
        swing = min(SWING, config.momentum, (1 - config.momentum) / 2)
        return config.learning_rate * share, config.momentum + swing * (1 - 2 * height)
    if rising:
        share = START + (1 - START) * done
    else:
        share = {"cosine": (1 + cos(pi * done)) / 2, "linear": 1 - done}.get(config.schedule, 1.0)
    if config.schedule == "plateau":
        share *= DROP**drops
    return config.learning_rate * share, config.momentum


def plateau_drops(scores: Sequence[float], patience: int) -> int:
    """How often the rate of the plateau schedule has fallen: each time half of the patience went by without a better score.

    A drop starts the wait anew, so a rate has that many epochs to prove itself.

    Args:
        scores: one per epoch, higher is better; NaN is never better.
        patience: of the configuration, in epochs; 0 never drops.
    """
    drops, waited, best = 0, 0, -inf
    for score in scores:
        if score > best:
            waited, best = 0, score
        else:
            waited += 1
        if patience and waited >= max(1, patience // 2):
            drops, waited = drops + 1, 0
    return drops


def stop_early(scores: Sequence[float], patience: int) -> bool:
    """Whether `patience` epochs have gone by without a better one.

    Args:
        scores, patience: as in `plateau_drops`; a patience of 0 never stops.
    """
    waited, best = 0, -inf
    for score in scores:
        if score > best:
            waited, best = 0, score
        else:
            waited += 1
    return patience > 0 and waited >= patience
