"""The table of model families: what they take, and the architecture they start with."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from slipway.errors import ConfigError, unknown


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """A line of the table."""

    kind: str
    """Kind of its items: `image` or `text`."""
    architecture: str
    """Default architecture, a name in ARCHITECTURES."""
    description: str


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "cv": Family(kind="image", architecture="custom_cnn", description="classify colour pictures"),
        "defect": Family(kind="image", architecture="defect_small", description="name the defect on a gray surface"),
        "nlp": Family(kind="text", architecture="tfidf_logreg", description="classify texts"),
    }
)


def find(name: str) -> Family:
    """A line of the table. Raises: ConfigError: there is no such family; the message lists those there are."""
    if name not in FAMILIES:
        raise ConfigError(unknown("family", name, FAMILIES))
    return FAMILIES[name]
