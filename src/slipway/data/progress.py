"""Lines for whoever waits."""

import sys
import time
from collections.abc import Callable

EVERY_S = 5.0
"""Short work says nothing."""


def to_stderr(line: str) -> None:
    """Write a line to stderr; stdout belongs to results."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class Progress:
    """Counts items and says so every `EVERY_S` seconds."""

    def __init__(self, what: str, total: int, say: Callable[[str], None]) -> None:
        """`total`: items to come, 0 when nobody knows."""
        self._what, self._total, self._say = what, total, say
        self._done, self._next_s = 0, time.monotonic() + EVERY_S

    def step(self, count: int = 1) -> None:
        """So many more items are done."""
        self._done += count
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + EVERY_S
            self._say(f"{self._what}: {self._done:,}" + (f" of {self._total:,} items" if self._total else " items"))
