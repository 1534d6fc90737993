"""Frozen dataclasses as tables of options: types, defaults and meanings of fields; values from texts, YAML and JSON."""

import ast
import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from itertools import pairwise
from math import isfinite
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from slipway.errors import ConfigError, unknown

Value = str | int | float | bool | None
T = TypeVar("T")
_KINDS: Mapping[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@cache
def types(of: type) -> Mapping[str, tuple[type, bool]]:
    """Type of every field of a dataclass, and whether it may be None.

    Options are str, int, float or bool; what is read from a file may also be one of the types that `configured` names.
    """
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


def read_yaml(path: Path, *, what: str = "") -> Any:
    """What a YAML file holds; None when it is empty.

    Args:
        what: names the file in errors, such as `--file models.yaml`; empty means its path.
    Raises: ConfigError: it cannot be read, or is not YAML.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{what or path}: cannot be read ({getattr(exc, 'strerror', None) or exc})") from exc
    except yaml.YAMLError as exc:
        mark, problem = getattr(exc, "problem_mark", None), getattr(exc, "problem", None)
        said = f"line {mark.line + 1}: {problem}" if mark and problem else " ".join(str(exc).split())
        raise ConfigError(f"{what or path}: not YAML ({said})") from exc


def configured(of: type[T], values: object, *, where: str, joint: str = ".") -> T:
    """A record from values by name, as they come from YAML, JSON or KFP.

    Besides texts, numbers and truths its fields may be tuples of texts, tuples of records (lists of tables), and mappings
    of texts to tuples of texts; where a list of texts is asked for, a single text is a list of one.

    Args:
        where: what an error starts with.
        joint: what stands between that and a field's name; `: ` after the name of a file.
    Raises: ConfigError: it is no table; an unknown name, with the near match; a missing one; a value of another type, or
        out of range.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: must be a table of names and values, got {values!r:.80}")
    known = types(of)  # type: ignore[arg-type]  # mypy does not take a type for hashable
    for name in values:
        if name not in known:
            raise ConfigError(unknown(where, str(name), known))
    needed = _needed(of)
    if missing := [name for name in needed if name not in values]:
        raise ConfigError(f"{where}: {missing[0]} is missing; needed are {', '.join(needed)}")
    return of(**{name: _field(f"{where}{joint}{name}", value, *known[name]) for name, value in values.items()})


def records(of: type[T], entries: object, *, where: str) -> tuple[T, ...]:
    """Records from a list of tables. Raises: ConfigError: it is no list, or see `configured`; the message has the position."""
    if not isinstance(entries, list):
        raise ConfigError(f"{where}: must be a list, got {entries!r:.80}")
    return tuple(configured(of, values, where=f"{where}[{i}]") for i, values in enumerate(entries))


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


def _needed(of: type) -> list[str]:
    return [field.name for field in fields(of) if field.default is MISSING and field.default_factory is MISSING]


def _field(what: str, value: object, kind: Any, optional: bool) -> Any:
    """A value in the type of its field, see `configured`."""
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        return records(item, value, where=what) if isinstance(item, type) and is_dataclass(item) else _texts(what, value)
    if get_origin(kind) is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{what}: must be a table of texts, each with one or a list of them, got {value!r:.80}")
        return {str(key): _texts(f"{what}: {key}", found) for key, found in value.items()}
    return from_value(what, value, kind, optional)


def _texts(what: str, value: object) -> tuple[str, ...]:
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise ConfigError(f"{what}: must be a text or a list of texts, got {value!r:.80}")
    return tuple(found)


def _expected(kind: type, optional: bool) -> str:
    return f"{_KINDS[kind]}{' or none' if optional else ''}"
