"""What `tune` may vary: `key=low..high[,log]` or `key=a,b,c`, over options of training."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from slipway.config import from_text, from_value, types
from slipway.errors import ConfigError, unknown
from slipway.models import architectures
from slipway.training import options, recipe
from slipway.training.recipe import TrainConfig

FORMS = "write key=low..high, key=low..high,log or key=a,b,c, such as learning_rate=1e-4..1e-2,log"


@dataclass(frozen=True, slots=True)
class Axis:
    """One option and the values it may take: a range, or choices."""

    name: str
    kind: type
    """str, int, float or bool."""
    low: Any = None
    """Of a range; both ends are included."""
    high: Any = None
    log: bool = False
    """Whether a range is searched by factors."""
    choices: tuple[Any, ...] = ()
    """Empty for a range."""

    def suggest(self, trial: Any) -> Any:
        """A value that an Optuna trial proposes; the same one when it is asked again."""
        if self.choices:
            return trial.suggest_categorical(self.name, list(self.choices))
        return (trial.suggest_int if self.kind is int else trial.suggest_float)(self.name, self.low, self.high, log=self.log)

    def about(self) -> str:
        """The axis as text: equal axes, equal texts."""
        if self.choices:
            return ",".join(str(choice) for choice in self.choices)
        return f"{self.low}..{self.high}{',log' if self.log else ''}"


def parse(texts: Iterable[str], family: str, *, held: Collection[str] = ()) -> dict[str, Axis]:
    """Axes by name, in their order.

    Args:
        held: options that the caller has set to one value.
    Raises: ConfigError: none, one twice, one of `held`, an unknown option (with the near match), or values it cannot have.
    """
    axes: dict[str, Axis] = {}
    for text in texts:
        axis = _axis(text, family)
        if axis.name in held:
            raise ConfigError(f"--space {axis.name}: is held by --set, too; give one of them")
        if axis.name in axes:
            raise ConfigError(f"--space {axis.name}: given twice; give each option once")
        axes[axis.name] = axis
    if not axes:
        raise ConfigError(f"--space: nothing to vary; {FORMS}")
    return axes


def typed(params: Mapping[str, Any]) -> dict[str, Any]:
    """Proposed values in the types of their fields: the study's file keeps some whole numbers as floats."""
    return {name: from_value(name, value, *types(TrainConfig)[name]) for name, value in params.items()}


def _axis(text: str, family: str) -> Axis:
    name, sign, values = (part.strip() for part in text.partition("="))
    where = f"--space {text}"
    if not sign or not name or not values:
        raise ConfigError(f"{where}: {FORMS}")
    if name not in options.names(family):
        raise options.refuse("--space", name, options.names(family), family)
    kind, optional = types(TrainConfig)[name]
    if ".." in values and kind in (int, float):
        return _range(name, kind, values, where, family)
    choices = tuple(from_text(f"{where}: {name}", part.strip(), kind, optional) for part in values.split(","))
    if len(set(choices)) < max(2, len(choices)):
        raise ConfigError(f"{where}: needs two or more different values; a fixed one goes to --set; {FORMS}")
    for choice in choices:
        _check(name, choice, where, family)
    return Axis(name, kind, choices=choices)


def _range(name: str, kind: type, values: str, where: str, family: str) -> Axis:
    ends, comma, word = values.partition(",")
    if comma and word.strip() != "log":
        raise ConfigError(f"{where}: only ',log' may follow a range, got ',{word}'; {FORMS}")
    low, high = (from_text(f"{where}: {name}", end.strip(), kind) for end in ends.split("..", 1))
    if not low < high:  # type: ignore[operator]
        raise ConfigError(f"{where}: the range must go up, got {low} to {high}; {FORMS}")
    if comma and not low > 0:  # type: ignore[operator]
        raise ConfigError(f"{where}: a logarithmic range must start above 0, got {low}")
    for end in (low, high):
        _check(name, end, where, family)
    return Axis(name, kind, low, high, bool(comma))


def _check(name: str, value: Any, where: str, family: str) -> None:
    """What can be said of a value alone; combinations are judged when they are tried."""
    if value is None:
        return
    if name == "architecture":
        architectures.find(value, family=family)
    if (known := recipe.CHOICES.get(name)) and value not in known:
        raise ConfigError(unknown(where, value, known))
    low, high = recipe.RANGES.get(name, (value, value))
    if not low <= value <= high:
        raise ConfigError(f"{where}: {name} must be {_from(f'at least {low:g}', high)}, got {value}")
    if name in recipe.ABOVE_ZERO and not 0 < value <= recipe.ABOVE_ZERO[name]:
        raise ConfigError(f"{where}: {name} must be {_from('above 0', recipe.ABOVE_ZERO[name])}, got {value}")


def _from(low: str, high: float) -> str:
    return low if high == inf else f"{low} and at most {high:g}"
