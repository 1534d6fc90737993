"""Services that follow the registry: when a model's alias moves, its service does; outages are survived, nothing is deleted."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from slipway.deploy import objects
from slipway.deploy.apply import state_of
from slipway.deploy.kube import Kube
from slipway.deploy.route import Gateway
from slipway.deploy.service import Release, Sizes, planned, release_of
from slipway.errors import ConfigError, ConflictError, SlipwayError

MAX_BACKOFF_S = 300.0
"""Between two attempts at a model that keeps failing."""
MAX_DOUBLINGS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed(Sizes):
    """A model of the registry whose alias is followed, and what its service gets."""

    name: str
    """Of the registered model."""
    alias: str = "champion"
    """Of the version that serves."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("model to follow: its name is empty; give that of the registry")

    @property
    def spec(self) -> str:
        """As the registry resolves it."""
        return f"{self.name}@{self.alias}"


@dataclass(slots=True)
class _Progress:
    """How it stands with one model."""

    failures: int = 0
    next_at: float = 0.0
    said: str = field(default="")


class Follower:
    """Looks at every model once an interval. One thread."""

    def __init__(
        self,
        models: Sequence[Followed],
        *,
        kube: Callable[[], Kube],
        namespace: str,
        resolve: Callable[[str], Release],
        say: Callable[[str], None],
        image: str = "",
        gateway: Gateway | None = None,
        interval_s: float = 30.0,
        heartbeat: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            kube: a client, made anew after a failure: credentials of pods change.
            namespace: empty: the client's own.
            resolve: NAME@ALIAS -> release. Raises SlipwayError.
            say: told what happens, one line each.
            image: the server's, by digest; empty means the runtime's own.
            interval_s: between two looks at a model, > 0.
            heartbeat: a file that is written after every round, for a probe: its age tells a loop that hangs.
        Raises: ConfigError: no model, one of them twice, or an interval out of range.
        """
        names = [model.name for model in models]
        if not names:
            raise ConfigError("deploy: no model to follow; name at least one")
        if double := next((name for name in names if names.count(name) > 1), ""):
            raise ConfigError(f"deploy: '{double}' is named twice; a model's service follows one alias")
        if not interval_s > 0:
            raise ConfigError(f"--interval: must be above 0 seconds, got {interval_s:g}")
        self._models, self._connect, self._namespace, self._resolve = list(models), kube, namespace, resolve
        self._say, self._image, self._gateway = say, image, gateway
        self._interval_s, self._heartbeat, self._clock = interval_s, heartbeat, clock
        self._progress = {name: _Progress() for name in names}
        self._kube: Kube | None = None

    def run(self, stop: Event) -> None:
        """Rounds until `stop` is set."""
        self._say(f"following {', '.join(m.spec for m in self._models)}, every {self._interval_s:g} s")
        while not stop.is_set():
            self.round()
            stop.wait(self._interval_s)
        self._say("stopped")

    def round(self) -> None:
        """One look at every model that is due; a failure of one is told, and keeps no other from its turn."""
        for model in self._models:
            progress = self._progress[model.name]
            if self._clock() < progress.next_at:
                continue
            try:
                line = self._look(model)
                progress.failures, progress.next_at = 0, 0.0
            except ConflictError as exc:  # no outage: somebody else has a hand on it, and may take it away any moment
                progress.failures, progress.next_at = 0, 0.0
                line = f"{model.name}: {exc}; left alone until then"
            except SlipwayError as exc:
                progress.failures += 1
                self._kube = None
                wait_s = min(MAX_BACKOFF_S, self._interval_s * 2 ** min(progress.failures - 1, MAX_DOUBLINGS))
                progress.next_at = self._clock() + wait_s * random.uniform(0.5, 1.0)
                line = f"{model.name}: {exc}; nothing is changed, next look in at most {wait_s:.0f} s"
            if line != progress.said:
                self._say(line)
                progress.said = line
        if self._heartbeat is not None:
            self._heartbeat.write_text(f"{time.time():.0f}\n", encoding="utf-8")

    def _look(self, model: Followed) -> str:
        """Apply the alias's release where something else serves. Returns: how it stands, one line."""
        if self._kube is None:
            self._kube = self._connect()
        kube = self._kube
        namespace = self._namespace or kube.namespace
        release = self._resolve(model.spec)
        plan = planned(kube, release, namespace, sizes=model, image=self._image, gateway=self._gateway)
        if plan.route is not None and not _holds(plan.route_now, plan.route):
            objects.apply(kube, plan.route)
            self._say(f"{model.name}: route at {plan.route['spec']['hostnames'][0]}")
        current = plan.service_now
        if current is None or not _holds(current, plan.service):
            was = f", was version {release_of(current).version}" if current is not None else ""
            current = objects.apply(kube, plan.service)
            self._say(f"{release}: applied as {model.spec}{was}")
        state, reason = state_of(kube, current)
        return f"{release}: {'serves' if state == 'ready' else f'{state}: {reason}'}"


def _holds(current: Any, wanted: Any) -> bool:
    """Whether an object has everything that we want of it; what others have added to it does not count."""
    if isinstance(wanted, dict):
        return isinstance(current, dict) and all(
            key in current and _holds(current[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(current, list)
            and len(current) == len(wanted)
            and all(_holds(a, b) for a, b in zip(current, wanted, strict=True))
        )
    return bool(current == wanted)
