"""What is remembered of a rollout, on the model's HTTPRoute: a change there restarts no pod, as one on a service would."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

ANNOTATION = "slipway/rollout"
Phase = Literal["canary", "promoting", "finishing", "promoted", "aborting", "aborted"]
"""canary: it runs beside the stable release · promoting: the stable service is moved to its release · finishing: that is
done, what is left is the alias and the canary's end · aborting: it is taken away. The other two are ends."""
WORDS: Mapping[Phase, str] = {
    "canary": "a canary runs: version {version}, {weight} %",
    "promoting": "version {version} is being promoted",
    "finishing": "version {version} is promoted, but for its canary's end",
    "promoted": "version {version} was promoted",
    "aborting": "the canary of version {version} is being taken away",
    "aborted": "the canary of version {version} was aborted",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A rollout: the release that it brings, the one before, and how far it is."""

    phase: Phase
    version: str
    uri: str
    digest: str
    image: str
    """Of its server; empty means the runtime's own."""
    before_version: str
    before_uri: str
    before_digest: str
    before_image: str
    weight: int = 0
    """Percent of the requests that the canary gets."""

    @property
    def under_way(self) -> bool:
        """Whether somebody has to end it."""
        return self.phase not in ("promoted", "aborted")

    def moved(self, phase: Phase, *, weight: int | None = None) -> "Record":
        """The same rollout in another phase."""
        return replace(self, phase=phase, weight=self.weight if weight is None else weight)

    def annotations(self) -> dict[str, str]:
        """As it is kept."""
        return {ANNOTATION: json.dumps(asdict(self), sort_keys=True)}

    def __str__(self) -> str:
        return WORDS[self.phase].format(version=self.version, weight=self.weight)


def of(route: Mapping[str, Any] | None) -> Record | None:
    """The last rollout of a route; None where there was none."""
    text = ((route or {}).get("metadata", {}).get("annotations") or {}).get(ANNOTATION)
    return Record(**json.loads(text)) if text else None
