"""JSON lines to where they are kept: stdout, or immutable objects in a store."""

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

from slipway.store.uri import open_store

STDOUT = "-"
MAX_AGE_STDOUT_S = 1.0
"""Somebody may be watching."""

Put = Callable[[str, bytes], None]
Group = tuple[str, str]
"""Model, and hour as in the key: an object has lines of one of each."""


class Batches:
    """Lines on their way; for one thread."""

    def __init__(self, target: str, process: str, *, max_lines: int, max_age_s: float, written: Callable[[int], None]) -> None:
        """
        Args:
            target: `-` for stdout, else the directory or URI of a store.
            process: name of this process in the keys of objects, different from all others.
            max_lines: of an object.
            max_age_s: a line waits no longer for others to be written with.
            written: told the number of lines, object by object.
        Raises: ConfigError: see `open_store`.
        """
        self._put: Put = _to_stdout if target == STDOUT else open_store(target).put_bytes
        self._max_lines = max_lines
        self._max_age_s = min(max_age_s, MAX_AGE_STDOUT_S) if target == STDOUT else max_age_s
        self._process, self._written = process, written
        self._open: dict[Group, list[bytes]] = {}
        self._due: dict[Group, float] = {}
        self._closed: deque[tuple[str, list[bytes]]] = deque()
        self._count = 0

    def add(self, model: str, when: datetime, line: bytes) -> None:
        """One line, with its newline, of an answer given at `when`, in UTC."""
        group = (model, f"{when:%Y-%m-%d/%H}")
        self._due.setdefault(group, time.monotonic() + self._max_age_s)
        lines = self._open.setdefault(group, [])
        lines.append(line)
        if len(lines) >= self._max_lines:
            self._close(group)

    @property
    def due(self) -> float | None:
        """When there is something to write, by `time.monotonic`; None: nothing is there."""
        return 0.0 if self._closed else min(self._due.values(), default=None)

    def write(self, *, everything: bool) -> None:
        """Write what is full or old enough; what could not be written is tried again next time, under the same key.

        Raises: SlipwayError, OSError: it cannot be written now.
        """
        now = time.monotonic()
        for group in [g for g, due in self._due.items() if everything or due <= now]:
            self._close(group)
        while self._closed:
            key, lines = self._closed[0]
            self._put(key, b"".join(lines))
            self._closed.popleft()
            self._written(len(lines))

    def _close(self, group: Group) -> None:
        model, hour = group
        self._count += 1
        self._closed.append((f"predictions/{model}/{hour}-{self._process}-{self._count}.jsonl", self._open.pop(group)))
        del self._due[group]


def _to_stdout(_key: str, data: bytes) -> None:
    with open(1, "wb", closefd=False) as out:
        out.write(data)
