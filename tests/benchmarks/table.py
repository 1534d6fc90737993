"""How benchmarks print: median, least, most and count of each row, below the machine."""

import os
import statistics
from collections.abc import Mapping, Sequence

from slipway import provenance


def show(title: str, rows: Mapping[str, Sequence[float]], *, threads: int) -> None:
    """Print a table. The load average is beside it: other work on the cores widens the spread."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n{title}; {threads} threads, {' '.join(provenance.cpu_flags())}, load {load}")
    print(f"{'':<44}{'median':>10}{'min':>10}{'max':>10}{'n':>4}")
    for name, values in rows.items():
        middle, low, high = (f"{value:,.3f}" if value < 100 else f"{value:,.0f}" for value in (
            statistics.median(values), min(values), max(values)
        ))  # fmt: skip
        print(f"{name:<44}{middle:>10}{low:>10}{high:>10}{len(values):>4}")
