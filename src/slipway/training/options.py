"""The options of training, by name: which a family has, and a configuration from their values."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from slipway.config import from_value, types
from slipway.errors import ConfigError
from slipway.models import architectures, families
from slipway.training.recipe import TrainConfig

ONLY: Mapping[str, tuple[str, ...]] = {
    "image": (
        "width", "tta", "crop", "flip", "quarter_turns", "rotate", "zoom", "jitter", "erase", "mixup", "cutmix",
        "prune_channels",
    ),
    "text": ("max_tokens", "pooling", "regularisation", "max_features", "ngrams"),
}  # fmt: skip
"""Kind of items -> options that mean nothing for the other kind."""

LINEAR = (
    "architecture",
    "seed",
    "regularisation",
    "max_features",
    "ngrams",
    "teacher",
    "teacher_weight",
    "teacher_temperature",
)


def names(family: str) -> list[str]:
    """Fields of TrainConfig that mean something for a family, in their order; without `family`, which the data know."""
    kind = families.find(family).kind
    others = {name for other, only in ONLY.items() if other != kind for name in only}
    return [name for name in types(TrainConfig) if name != "family" and name not in others]


def used(family: str, architecture: str) -> list[str]:
    """Those of `names` that an architecture reads: a linear model has neither epochs nor an optimizer."""
    known = names(family)
    if architectures.find(architecture).input != "tfidf":
        return known
    return [name for name in known if name in LINEAR]


def refuse(what: str, name: str, known: Iterable[str], family: str) -> ConfigError:
    """The error for a name that is not known: it belongs to other families, or looks like one that is."""
    for kind, only in ONLY.items():
        if name in only and name not in known:
            return ConfigError(f"{what}: {name} is for families of {kind}s; {family} has no use for it")
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return ConfigError(f"{what}: unknown '{name}'; {hint}`slipway options {family}` lists all names")


def config(family: str, values: Mapping[str, Any], *, where: str) -> TrainConfig:
    """The configuration of training with these values, the rest at its defaults.

    Args:
        values: as they come from YAML or JSON, see `config.from_value`.
        where: what an error starts with, such as a file's name.
    Raises: ConfigError: a name this family does not have, a value of another type or range, an impossible combination.
    """
    return TrainConfig(family=family, **typed(family, values, where=where))


def typed(family: str, values: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """The values in the types of their fields. Raises: ConfigError: as `config`, but without ranges and combinations."""
    known = names(family)
    for name in values:
        if name not in known:
            raise refuse(where, name, known, family)
    return {name: from_value(f"{where}: {name}", value, *types(TrainConfig)[name]) for name, value in values.items()}
