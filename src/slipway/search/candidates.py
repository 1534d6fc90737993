"""What is compared or tuned: configurations of training from presets, recipe files, architectures and `--set`."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slipway.data.datasets import entry_for
from slipway.data.sources import ASKED
from slipway.errors import ConfigError
from slipway.models import architectures
from slipway.runs import parameters
from slipway.settings import Settings
from slipway.training import options
from slipway.training.recipe import TrainConfig

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def asked(family: str, *, preset: str, values: Mapping[str, str], verb: str) -> dict[str, Any]:
    """Pipeline parameters and options, resolved as for a run.

    Args:
        values: texts of `--set`, and of the flags that name data.
        verb: who asks, for the error.
    Raises:
        ConfigError: as `runs.parameters.resolve`; or a name is about what comes after training.
        NotFoundError, DataError: there is no such data set, or it does not suit the family.
    """
    resolved = parameters.resolve(family, preset=preset, values=values)
    if not resolved["data"]:
        entry_for(resolved["dataset"], family)
    useful = {*ASKED, *options.names(family)}
    if useless := [name for name in values if name not in useful]:
        raise ConfigError(
            f"{verb}: {useless[0]} has no effect here: nothing is gated or registered; leave it out, or `slipway run`"
        )
    return resolved


def base(family: str, resolved: Mapping[str, Any], settings: Settings) -> TrainConfig:
    """The configuration of training that resolved parameters come to."""
    return TrainConfig(family=family, **{"threads": settings.threads} | parameters.training(family, resolved))


def family_of(names: Sequence[str]) -> str:
    """The family of the first architecture; empty where none is named. Raises: ConfigError: there is no such architecture."""
    return architectures.find(names[0]).family if names else ""


def candidates(
    common: TrainConfig, *, explicit: Collection[str], names: Sequence[str], recipes: Sequence[Path]
) -> dict[str, TrainConfig]:
    """Name -> configuration: one per architecture, one per recipe.

    A recipe goes over the preset, and what the caller set goes over both.

    Args:
        common: what all share.
        explicit: what the caller has set; names that are no options of training are not looked at.
        names: architectures.
        recipes: files; a candidate is called by its file's stem.
    Raises: ConfigError: none or a double name, an unknown architecture, or a configuration that cannot be.
    """
    if not names and not recipes:
        known = ", ".join(architectures.names(common.family))
        raise ConfigError(
            f"compare: nothing to compare; give --architectures (of {common.family}: {known}) or --recipe FILE.yaml"
        )
    if names and "architecture" in explicit:
        raise ConfigError("compare: --architectures and --set architecture: give one of them, not both")
    changes: dict[str, dict[str, Any]] = {}
    for name in names:
        architectures.find(name, family=common.family)
        _add(changes, name, {"architecture": name})
    kept = {name: getattr(common, name) for name in explicit if name in options.names(common.family)}
    for path in recipes:
        _add(changes, path.stem, parameters.read_recipe(path, common.family) | kept)
    found = {}
    for name, change in changes.items():
        try:
            found[name] = replace(common, **change)
        except ConfigError as exc:
            raise ConfigError(f"{name}: {exc}") from exc
    return found


def _add(changes: dict[str, dict[str, Any]], name: str, change: dict[str, Any]) -> None:
    if not NAME.fullmatch(name):
        raise ConfigError(f"compare: candidate '{name}': must be letters, digits, '.', '_' or '-'; rename the file")
    if name in changes:
        raise ConfigError(
            f"compare: two candidates are called '{name}'; name each once (a recipe is called by its file's name)"
        )
    changes[name] = change
