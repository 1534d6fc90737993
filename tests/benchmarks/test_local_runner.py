"""Seconds per step that KFP's local runner adds beyond the step function; imports named apart."""

import statistics
import subprocess
import sys
import time

import pytest
from kfp import dsl

from slipway import provenance
from slipway import settings as settings_
from slipway.runs import local
from tests.helpers.pipelines import IMAGE, compiled
from tests.helpers.progress import Told

ROUNDS = 7
STEPS = 10


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def nothing(before: str) -> str:
    return before


def chain(num_steps):
    @dsl.pipeline(name=f"chain-{num_steps}")
    def pipeline():
        before = ""
        for _ in range(num_steps):
            before = nothing(before=before).output

    return pipeline


@pytest.mark.bench
def test_what_the_local_runner_adds_to_a_step(tmp_path):
    short, long = (compiled(chain(n), tmp_path) for n in (1, 1 + STEPS))
    per_step, imports, once = [], [], []
    for _ in range(ROUNDS):  # interleaved, so that a busy moment hits all alike
        imports.append(seconds(lambda: subprocess.run([sys.executable, "-c", "import kfp"], check=True)))
        one = seconds(lambda: run(short))
        per_step.append((seconds(lambda: run(long)) - one) / STEPS)
        once.append(one - imports[-1] - per_step[-1])
    threads = settings_.load().threads
    print(f"\nlocal runner, {ROUNDS} rounds, {threads} cores, {' '.join(provenance.cpu_flags())}")
    print(f"{'':<36}{'median s':>10}{'min':>8}{'max':>8}{'n':>4}")
    for name, values in {
        "added per step": per_step,
        "import kfp, once per run": imports,
        "everything else, once per run": once,
    }.items():
        print(f"{name:<36}{statistics.median(values):>10.3f}{min(values):>8.3f}{max(values):>8.3f}{len(values):>4}")


def run(pipeline):
    local.run("chain", {}, run_id=local.new_run_id("chain"), settings=settings_.load(), progress=Told(), pipeline=pipeline)


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
