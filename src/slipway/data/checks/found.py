"""What one check hands back when it found something."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A finding before its items are named and its level is set; see `report.Finding`."""

    count: int
    message: str
    advice: str
    groups: Sequence[Sequence[int]] = ()
    """Positions of items that belong together, the worst group first."""
    notes: Sequence[str] = ()
    """One per group."""


@dataclass(frozen=True, slots=True)
class NotMade:
    """A check that cannot tell anything about these data."""

    reason: str
    """One line."""


Outcome = Found | NotMade | None
"""None: nothing found."""
