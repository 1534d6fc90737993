"""Frozen dataclasses as tables of options: types, defaults and meanings of fields; values from texts, YAML and JSON."""

import ast
import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from itertools import pairwise
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from slipway.errors import ConfigError, unknown

Value = str | int | float | bool | None
T = TypeVar("T")
_KINDS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@cache
def types(of: type) -> Mapping[str, tuple[type, bool]]:
    """Type of every field of a dataclass (str, int, float or bool), and whether it may be None."""
    hints = get_type_hints(of)
    found = {}
    for field in fields(of):
        hint: Any = hints[field.name]
        optional = isinstance(hint, UnionType)
        found[field.name] = (next(t for t in get_args(hint) if t is not type(None)) if optional else hint, optional)
    return found


@cache
def defaults(of: type) -> Mapping[str, Value]:
    """Default of every field that has one."""
    return {field.name: field.default for field in fields(of) if field.default is not MISSING}


@cache
def meanings(of: type) -> Mapping[str, str]:
    """Docstring of every field, on one line: read from the source, since a class does not keep those of its fields."""
    tree = ast.parse(Path(inspect.getfile(of)).read_text(encoding="utf-8"))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == of.__name__)
    found = {}
    for field, after in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(after.value.value).split())
    return found


def configured(of: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """A record from values by name, as they come from YAML, JSON or KFP.

    Args:
        where: what an error starts with.
    Raises: ConfigError: an unknown name, with the near match; a value of another type, or out of range.
    """
    known = types(of)  # type: ignore[arg-type]  # mypy does not take a type for hashable
    for name in values:
        if name not in known:
            raise ConfigError(unknown(where, name, known))
    return of(**{name: from_value(f"{where}.{name}", value, *known[name]) for name, value in values.items()})


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


def _expected(kind: type, optional: bool) -> str:
    return f"{_KINDS[kind]}{' or none' if optional else ''}"
