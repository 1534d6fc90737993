"""The table of objectives: what it may say, and what it must not."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from slipway.config import configured, read_yaml
from slipway.errors import ConfigError, unknown
from slipway.monitor.metrics import DURATION_BUCKETS_S, PROTOCOLS

TABLE = Path(__file__).with_name("slo.yaml")
KINDS = ("latency", "errors")
SEVERITIES = ("critical", "warning")
"""critical wakes somebody; warning is for the next working day. Prometheus' common rules use the same two words."""
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
"""Of objectives and models: a DNS label, which needs no escape in a query."""
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([1-9][0-9]*)([smhd])")


@dataclass(frozen=True, kw_only=True, slots=True)
class Slo:
    """One objective."""

    name: str
    """Value of the `slo` label; lower-case letters, digits and `-`."""
    what: str
    """latency: the share of requests answered within `bound_s`; errors: the share whose status is not 5xx."""
    objective: float
    """The share that must be good, above 0 and below 1."""
    bound_s: float | None = None
    """Seconds, one of DURATION_BUCKETS_S: between two buckets nothing is known. None: for errors."""
    window_days: int = 30
    """Days that the objective is for; the error budget is counted over them."""
    min_requests: int = 50
    """Fewer in an alert's long window alert nobody."""
    models: tuple[str, ...] = ()
    """Names; none: every model that no other objective of the same `what` names."""
    protocols: tuple[str, ...] = ()
    """Of PROTOCOLS; none: all."""

    def __post_init__(self) -> None:
        where = f"slo {self.name}"
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"slo name: '{self.name}' must be 1 to 40 lower-case letters, digits and '-'")
        _one_of(f"{where}: what", self.what, KINDS)
        if not 0 < self.objective < 1:
            raise ConfigError(f"{where}: objective: must be above 0 and below 1, got {self.objective:g}")
        if (self.what == "latency") != (self.bound_s is not None):
            raise ConfigError(f"{where}: bound_s: latency needs one, errors have none; got {self.bound_s}")
        if self.bound_s is not None and self.bound_s not in DURATION_BUCKETS_S:
            raise ConfigError(f"{where}: bound_s: {self.bound_s:g} is no bucket; one of {_listed(DURATION_BUCKETS_S)}")
        if self.window_days < 1:
            raise ConfigError(f"{where}: window_days: must be >= 1, got {self.window_days}")
        if self.min_requests < 1:
            raise ConfigError(f"{where}: min_requests: must be >= 1, got {self.min_requests}")
        for model in self.models:
            if not _NAME.fullmatch(model):
                raise ConfigError(f"{where}: models: '{model}' is no model's name: lower-case letters, digits and '-'")
        for protocol in self.protocols:
            _one_of(f"{where}: protocols", protocol, PROTOCOLS)

    @property
    def budget(self) -> float:
        """The share that may be bad."""
        return round(1 - self.objective, 9)

    def needed(self, burn: "BurnRate") -> int:
        """Requests in the long window below which the alert is silent: one bad request alone must never alert."""
        return max(self.min_requests, ceil(1 / (burn.factor * self.budget) - 1e-9))


@dataclass(frozen=True, kw_only=True, slots=True)
class BurnRate:
    """How fast a budget burns when an alert fires."""

    factor: float
    """Times as fast as would use the budget up in its window, > 0."""
    long: str
    """Window over which it burned: a number and s, m, h or d."""
    short: str
    """Window that says it still burns, shorter."""
    severity: str
    """One of SEVERITIES."""

    def __post_init__(self) -> None:
        if not self.factor > 0:
            raise ConfigError(f"burn rate: factor: must be > 0, got {self.factor:g}")
        _one_of(f"burn rate {self.factor:g}: severity", self.severity, SEVERITIES)
        if seconds(self.short) >= seconds(self.long):
            raise ConfigError(f"burn rate {self.factor:g}: short: must be shorter than long ({self.long}), got {self.short}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Every objective, and when the on-call hears of it."""

    slos: tuple[Slo, ...]
    burn_rates: tuple[BurnRate, ...]

    def __post_init__(self) -> None:
        for what, entries, keys in (
            ("slos", self.slos, [slo.name for slo in self.slos]),
            ("burn_rates", self.burn_rates, [f"{burn.long}/{burn.short}" for burn in self.burn_rates]),
        ):
            if not entries:
                raise ConfigError(f"{what}: at least one is needed")
            if twice := sorted({key for key in keys if keys.count(key) > 1}):
                raise ConfigError(f"{what}: {', '.join(twice)} is there more than once")
        for slo in self.slos:
            for burn in self.burn_rates:
                if burn.factor * slo.budget >= 1:
                    raise ConfigError(
                        f"slo {slo.name}: objective: at {slo.objective:g} a burn rate of {burn.factor:g} is more than all "
                        f"requests and never alerts; set it above {1 - 1 / burn.factor:.4g}, or lower the factor"
                    )

    def named_elsewhere(self, slo: Slo) -> tuple[str, ...]:
        """Models that another objective of the same kind names; `slo` leaves them out if it names none itself."""
        return () if slo.models else tuple(sorted({m for s in self.slos if s.what == slo.what for m in s.models}))


def load(path: Path = TABLE) -> Table:
    """The table of a file.

    Raises: ConfigError: not there, not YAML, an unknown key (with the near match), a missing one, or a value out of range.
    """
    return configured(Table, read_yaml(path), where=path.name, joint=": ")


def seconds(duration: str) -> int:
    """Of a duration as Prometheus writes it, one unit only. Raises: ConfigError: it is none."""
    if not (match := _DURATION.fullmatch(duration)):
        raise ConfigError(f"burn rate: '{duration}' must be a number and s, m, h or d, such as 5m")
    return int(match[1]) * _UNITS_S[match[2]]


def _one_of(what: str, got: str, allowed: Sequence[str]) -> None:
    if got not in allowed:
        raise ConfigError(unknown(what, got, allowed))


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
