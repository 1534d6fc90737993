"""`python -m tests.benchmarks.serving`: run it, and write the tables."""

import argparse
import datetime
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from slipway import provenance
from slipway import settings as settings_
from slipway.models.runtime import before_torch

ROOT = Path(__file__).parents[3]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 if one of our cells failed."""
    before_torch()
    from tests.benchmarks.serving import ours, report
    from tests.benchmarks.serving.models import MODELS
    from tests.benchmarks.serving.peers import PEERS
    from tests.benchmarks.serving.rounds import Run

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=report.LEAST_ROUNDS, help="interleaved rounds")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load, and of each measurement of the engine")
    parser.add_argument("--models", default=",".join(MODELS), help="with commas between")
    parser.add_argument("--peers", default="", help=f"all, or some of {','.join(PEERS)}; default none")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "SERVING.md", help="whose marked part is written"
    )
    parser.add_argument(
        "--raw", type=Path, default=ROOT / ".cache/bench/serving.jsonl", help="each round's numbers, JSON lines"
    )
    args = parser.parse_args(argv)
    chosen = {"models": args.models.split(","), "peers": list(PEERS) if args.peers == "all" else args.peers.split(",")}
    chosen["peers"] = [name for name in chosen["peers"] if name]
    for what, known in (("models", MODELS), ("peers", PEERS)):
        if wrong := [name for name in chosen[what] if name not in known]:
            parser.error(f"--{what}: unknown '{wrong[0]}'; known: {', '.join(known)}")
    threads = settings_.load().threads
    cache = Path(os.environ.get("SLIPWAY_BENCH_CACHE") or ROOT / ".cache/peers").absolute()
    run = Run(
        rounds=args.rounds,
        seconds=args.seconds,
        threads=threads,
        cache=ROOT / ".cache/bench/models",
        raw=args.raw,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    run.record(
        "run",
        date=f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}",
        rounds=args.rounds,
        seconds=args.seconds,
        threads=threads,
        cores=len(os.sched_getaffinity(0)),
        cpu_flags=provenance.cpu_flags(),
        python=platform.python_version(),
        onnxruntime=version("onnxruntime"),
    )
    run.go(chosen["models"], chosen["peers"], cache)
    report.write(report.markdown(run.records), args.out)
    return int(any(r["what"] == "failed" and r["server"] == ours.NAME for r in run.records))


if __name__ == "__main__":
    sys.exit(main())
