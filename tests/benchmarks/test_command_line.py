"""How long `slipway --help` takes, in a process of its own; the design's bar is 0.5 s."""

import statistics
import subprocess
import sys
import time

import pytest

from slipway import provenance

ROUNDS = 9


@pytest.mark.bench
def test_help():
    commands = {
        "slipway --help": [sys.executable, "-c", "from slipway.cli import main; main(['--help'])"],
        "python, doing nothing": [sys.executable, "-c", ""],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):  # interleaved, so that a busy moment hits both alike
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - started)
    print(f"\ncommand line, {ROUNDS} rounds, {' '.join(provenance.cpu_flags())}")
    print(f"{'':<36}{'median s':>10}{'min':>8}{'max':>8}{'n':>4}")
    for name, values in seconds.items():
        print(f"{name:<36}{statistics.median(values):>10.3f}{min(values):>8.3f}{max(values):>8.3f}{len(values):>4}")
