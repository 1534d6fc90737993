"""How busy a server's processes are, from /proc."""

import os
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

IDLE = 0.15
"""Of a core: below this, nobody works on requests. The kernel counts in hundredths of a second."""
LOOK_S, PATIENCE_S = 0.1, 60


def busy_share(pid: int, seconds: float) -> float:
    """Share of a core that a process and those below it take now."""
    before, began = _cpu_s(pid), time.perf_counter()
    time.sleep(seconds)
    return (_cpu_s(pid) - before) / (time.perf_counter() - began)


def settle(pid: int) -> None:
    """Wait until a server has done what a load left behind: clients that go do not stop work on their requests.

    Raises: TimeoutError: it is busy for longer than PATIENCE_S.
    """
    ends = time.monotonic() + PATIENCE_S
    while busy_share(pid, LOOK_S) > IDLE:
        if time.monotonic() > ends:
            raise TimeoutError(f"still busy {PATIENCE_S} s after a load")


def _cpu_s(pid: int) -> float:
    ticks: dict[int, int] = {}
    below = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # ended meanwhile
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            found = int(stat.parent.name)
            below[int(fields[1])].append(found)
            ticks[found] = int(fields[11]) + int(fields[12])
    total, waiting = 0, [pid]
    while waiting:
        total += ticks.get(waiting[-1], 0)
        waiting += below[waiting.pop()]
    return total / os.sysconf("SC_CLK_TCK")
