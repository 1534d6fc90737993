"""Parameters of a pipeline, read from its compiled file: names, types, defaults, descriptions. Needs no kfp."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

import slipway
from slipway.errors import ConfigError, unknown

Value = str | int | float | bool
SETS, OWN = "datasets", "own_data"
"""Sections of a preset: parameters for one known data set, and for the user's own data, whose difficulty nobody knows."""
_TYPES: dict[str, type[Value]] = {"STRING": str, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": float, "BOOLEAN": bool}
_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a pipeline."""

    type: type[Value]
    """str, int, float or bool."""
    default: Value
    """Its value when neither preset nor caller gives one."""
    description: str
    """One line, as the KFP form shows it."""


def compiled(family: str) -> Path:
    """The compiled pipeline of a family, as shipped with the package.

    Raises: ConfigError: no such family.
    """
    return _folder("compiled") / f"{_checked(family)}.yaml"


@cache
def parameters(family: str) -> dict[str, Parameter]:
    """Every parameter of a family's pipeline, by name."""
    from slipway.pipelines import lint

    return read(lint.load(compiled(family))[0])


def read(ir: Mapping[str, Any]) -> dict[str, Parameter]:
    """Every parameter of a compiled pipeline, by name."""
    found = {}
    for name, spec in ir["root"].get("inputDefinitions", {}).get("parameters", {}).items():
        kind = _TYPES[spec["parameterType"]]
        found[name] = Parameter(kind, kind(spec.get("defaultValue", kind())), " ".join(spec.get("description", "").split()))
    return found


def families() -> list[str]:
    """Families that have a pipeline, sorted."""
    return sorted(path.stem for path in _folder("compiled").glob("*.yaml"))


def presets(family: str) -> list[str]:
    """Names of a family's presets, sorted."""
    prefix = f"{_checked(family)}-"
    return sorted(path.stem.removeprefix(prefix) for path in _folder("presets").glob(f"{prefix}*.yaml"))


def resolve(family: str, *, preset: str, values: Mapping[str, str]) -> dict[str, Value]:
    """Every parameter of a run: the defaults, then the preset, then what it says for this data set, then `values`.

    Args:
        preset: name of a preset; empty means the defaults alone.
        values: texts as they come from `--set name=value`.
    Raises: ConfigError: an unknown family, preset or name (with the near match), or a value of another type.
    """
    known = parameters(family)
    resolved = {name: parameter.default for name, parameter in known.items()}
    if preset:
        where = f"preset {family}-{preset}"
        general = _preset(family, preset)
        special = general.pop(OWN, {}), general.pop(SETS, {})
        _apply(resolved, general, known, where)
        if values.get("data"):
            _apply(resolved, special[0], known, f"{where}: {OWN}")
        else:
            dataset = values.get("dataset", resolved["dataset"])
            _apply(resolved, special[1].get(dataset, {}), known, f"{where}: {SETS}: {dataset}")
    for name, text in values.items():
        if name not in known:
            raise ConfigError(unknown(f"{family} pipeline: parameter", name, known))
        resolved[name] = _typed(name, text, known[name].type)
    return resolved


def _apply(resolved: dict[str, Value], new: Mapping[str, Any], known: Mapping[str, Parameter], where: str) -> None:
    for name, value in new.items():
        if name not in known:
            raise ConfigError(unknown(where, name, known))
        if not _fits(value, known[name].type):
            raise ConfigError(f"{where}: {name}: must be {_NAMES[known[name].type]}, got {value!r}")
        resolved[name] = known[name].type(value)


def _preset(family: str, preset: str) -> dict[str, Any]:
    import yaml

    if preset not in presets(family):
        raise ConfigError(unknown(f"preset of {family}", preset, presets(family)))
    path = _folder("presets") / f"{family}-{preset}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as exc:
        raise ConfigError(f"{path}: not YAML ({str(exc).splitlines()[0]})") from exc
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold `name: value` lines, got {type(content).__name__}")
    return content


def _fits(value: object, kind: type[Value]) -> bool:
    """Whether a YAML value is of the type: a whole number is a number, true is neither."""
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is kind


def _typed(name: str, text: str, kind: type[Value]) -> Value:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    try:
        if kind is bool:
            return words[text.strip().lower()]
        value = kind(text)
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(text)
        return value
    except (ValueError, KeyError) as exc:
        raise ConfigError(f"{name}: must be {_NAMES[kind]}, got '{text}'") from exc


def _folder(name: str) -> Path:
    return Path(slipway.__file__).parent / "pipelines" / name


def _checked(family: str) -> str:
    if family not in families():
        raise ConfigError(unknown("family", family, families()))
    return family
