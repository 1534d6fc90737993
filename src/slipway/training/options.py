"""The options of training, by name: which a family has, what they mean, and their values from texts, YAML and JSON."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from slipway.errors import ConfigError
from slipway.models import families
from slipway.training import recipe
from slipway.training.recipe import TrainConfig

Value = str | int | float | bool | None
ONLY: Mapping[str, tuple[str, ...]] = {
    "image": ("width", "tta", "crop", "flip", "quarter_turns", "rotate", "zoom", "jitter", "erase", "mixup", "cutmix"),
    "text": ("max_tokens", "pooling", "regularisation", "max_features", "ngrams"),
}
"""Kind of items -> options that mean nothing for the other kind."""
_KINDS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def names(family: str) -> list[str]:
    """Fields of TrainConfig that mean something for a family, in their order; without `family`, which the data know."""
    kind = families.find(family).kind
    others = {name for other, only in ONLY.items() if other != kind for name in only}
    return [name for name in recipe.types() if name != "family" and name not in others]


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
        values: as they come from YAML or JSON, see `from_value`.
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
    return {name: from_value(f"{where}: {name}", value, *recipe.types()[name]) for name, value in values.items()}


def from_value(what: str, value: object, kind: type, optional: bool = False) -> Value:
    """A value of YAML or JSON in its type. KFP's structs know no whole numbers, and YAML takes 1e-3 for a text.

    Args:
        what: what an error starts with.
        kind: str, int, float or bool.
        optional: whether None is a value.
    Raises: ConfigError: it is of another type.
    """
    if optional and value is None:
        return None
    if type(value) is kind:
        return from_text(what, str(value), float) if kind is float else value  # type: ignore[return-value]
    if isinstance(value, str) and kind in (int, float):
        return from_text(what, value, kind, optional)
    if not isinstance(value, bool):
        if kind is float and isinstance(value, int):
            return float(value)
        if kind is int and isinstance(value, float) and value.is_integer():
            return int(value)
    if optional and value == "none":
        return None
    raise ConfigError(f"{what}: must be {_expected(kind, optional)}, got {value!r}")


def from_text(what: str, text: str, kind: type, optional: bool = False) -> Value:
    """A text of the command line in its type; `none` is None where that is a value.

    Raises: ConfigError: it is not of the type, or not finite.
    """
    if optional and text.strip().lower() == "none":
        return None
    try:
        if kind is bool:
            return _WORDS[text.strip().lower()]
        value: Value = kind(text)
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(text)
        return value
    except (ValueError, KeyError) as exc:
        raise ConfigError(f"{what}: must be {_expected(kind, optional)}, got '{text}'") from exc


def to_text(value: Value) -> str:
    """A value as `--set` takes it: what `from_text` reads back."""
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


@cache
def defaults() -> Mapping[str, Value]:
    """Every field's default."""
    return {field.name: field.default for field in fields(TrainConfig) if field.name != "family"}  # type: ignore[misc]


@cache
def meanings() -> Mapping[str, str]:
    """Every field's docstring, on one line: read from the source, since a class does not keep those of its fields."""
    tree = ast.parse(Path(recipe.__file__).read_text(encoding="utf-8"))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == TrainConfig.__name__)
    found = {}
    for field, after in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(after.value.value).split())
    return found


def _expected(kind: type, optional: bool) -> str:
    return f"{_KINDS[kind]}{' or none' if optional else ''}"
