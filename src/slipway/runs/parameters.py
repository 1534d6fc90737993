"""Parameters of a pipeline, read from its compiled file: names, types, defaults, descriptions. Needs no kfp.

What has no parameter of its own travels in three that hold others: `options`, fields of `training.recipe.TrainConfig`;
`rules`, fields of `evaluation.gate.GateConfig`; `checks`, fields of `data.checks.config.CheckConfig`, set as `checks.NAME`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import slipway
from slipway.config import configured, from_text, from_value, read_yaml, types
from slipway.data.checks.config import CheckConfig
from slipway.errors import ConfigError, unknown
from slipway.evaluation.gate import GateConfig
from slipway.training import options as training_options
from slipway.training.recipe import TrainConfig

Value = str | int | float | bool | dict[str, Any]
SETS, OWN = "datasets", "own_data"
"""Sections of a preset: parameters for one known data set, and for the user's own data, whose difficulty nobody knows."""
OPTIONS, RULES, CHECKS = HOLDERS = "options", "rules", "checks"
"""The parameters that hold what has none of its own: of training, of the gate, of the data's checks."""
_TYPES: dict[str, type] = {"STRING": str, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": float, "BOOLEAN": bool, "STRUCT": dict}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a pipeline."""

    type: type
    """str, int, float or bool; of HOLDERS, dict."""
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


def resolve(family: str, *, preset: str, values: Mapping[str, str], recipe: Path | None = None) -> dict[str, Any]:
    """Every parameter of a run: the defaults, the preset, what it says for this data set, the recipe, then `values`.

    Args:
        preset: name of a preset; empty means the defaults alone.
        values: texts as they come from `--set name=value`: pipeline parameters, options of training and rules alike.
        recipe: a file, see `read_recipe`; None: there is none.
    Returns: by name; what has no parameter of its own is in one of HOLDERS.
    Raises: ConfigError: an unknown family, preset or name (with the near match), a value of another type, or training
        cannot be configured so.
    """
    resolved = {name: parameter.type(parameter.default) for name, parameter in parameters(family).items()}
    if preset:
        where = f"preset {family}-{preset}"
        general = _preset(family, preset)
        special = general.pop(OWN, {}), general.pop(SETS, {})
        _apply(resolved, general, family, where)
        if values.get("data"):
            _apply(resolved, special[0], family, f"{where}: {OWN}")
        else:
            dataset = values.get("dataset", resolved["dataset"])
            _apply(resolved, special[1].get(dataset, {}), family, f"{where}: {SETS}: {dataset}")
    for name, value in (read_recipe(recipe, family) if recipe else {}).items():
        _put(resolved, name, value)
    for name, text in values.items():
        kind, optional = _kind(name, family, f"{family} pipeline: parameter")
        _put(resolved, name, from_text(name, text, kind, optional))
    TrainConfig(family=family, **training(family, resolved))
    own = {name: value for name, value in resolved.items() if name in types(GateConfig)}
    configured(GateConfig, {**own, **resolved[RULES]}, where="gate")
    configured(CheckConfig, resolved[CHECKS], where=CHECKS)
    return resolved


def training(family: str, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """What resolved parameters say of training: fields of TrainConfig, without `family`."""
    known = training_options.names(family)
    return {**{name: value for name, value in resolved.items() if name in known}, **resolved[OPTIONS]}


def read_recipe(path: Path, family: str) -> dict[str, Any]:
    """A recipe: a YAML file of `option: value` lines, over options of training.

    Raises: ConfigError: it cannot be read, or a name or value is none of the family's options.
    """
    return training_options.typed(family, _lines(path, f"--recipe {path}"), where=str(path))


def _apply(resolved: dict[str, Any], new: Mapping[str, Any], family: str, where: str) -> None:
    for name, value in new.items():
        kind, optional = _kind(name, family, where)
        _put(resolved, name, from_value(f"{where}: {name}", value, kind, optional))


def _kind(name: str, family: str, where: str) -> tuple[type, bool]:
    """Type of a parameter or option, and whether it may be None."""
    own = {name: (parameter.type, False) for name, parameter in parameters(family).items() if name not in HOLDERS}
    of_checks = {f"{CHECKS}.{name}": kind for name, kind in types(CheckConfig).items()}
    training = {option: types(TrainConfig)[option] for option in training_options.names(family)}
    known: dict[str, tuple[type, bool]] = {**training, **types(GateConfig), **of_checks, **own}
    if name in HOLDERS:
        raise ConfigError(f"{where}: {name} holds others; set each by its own name, such as --set ema=0.99")
    if name not in known:
        raise training_options.refuse(where, name, known, family)
    return known[name]


def _put(resolved: dict[str, Any], name: str, value: Any) -> None:
    if name in resolved:
        resolved[name] = value
        return
    holder = resolved[OPTIONS]
    if name.startswith(f"{CHECKS}."):
        holder, name = resolved[CHECKS], name.removeprefix(f"{CHECKS}.")
    elif name in types(GateConfig):
        holder = resolved[RULES]
    if value is None:  # the default of every option that may be None; KFP's structs take no None
        holder.pop(name, None)
    else:
        holder[name] = value


def _preset(family: str, preset: str) -> dict[str, Any]:
    if preset not in presets(family):
        raise ConfigError(unknown(f"preset of {family}", preset, presets(family)))
    path = _folder("presets") / f"{family}-{preset}.yaml"
    return _lines(path, str(path))


def _lines(path: Path, where: str) -> dict[str, Any]:
    """The `name: value` lines of a YAML file."""
    content = read_yaml(path, what=where)
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ConfigError(f"{where}: must hold `name: value` lines, got {type(content).__name__}")
    return content


def _folder(name: str) -> Path:
    return Path(slipway.__file__).parent / "pipelines" / name


def _checked(family: str) -> str:
    if family not in families():
        raise ConfigError(unknown("family", family, families()))
    return family
