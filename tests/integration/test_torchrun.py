"""`slipway train` as torchrun starts it, on several machines or here: one command, one checkpoint, one line of results."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from slipway.runs import record
from slipway.store import files
from slipway.store.uri import open_store
from slipway.training.train import train
from tests.helpers import datasets
from tests.helpers.training import config

pytestmark = pytest.mark.integration

PLAIN = {"augment": False, "epochs": 2, "optimizer": "sgd", "learning_rate": 0.02, "batch_size": 8}
"""Nothing random, no batch norm: what is left must not depend on how many share the work."""
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python"]
SLIPWAY = [sys.executable, "-c", "from slipway.cli import main; main()"]


def command(data: Path, out: Path, *, processes: int = 2, **options: object) -> list[str]:
    settings = {"architecture": "lenet5", "device": "cpu", **PLAIN, **options}
    sets = [text for name, value in settings.items() for text in ("--set", f"{name}={value}")]
    verb = ["train", str(data), "-o", str(out), "--preset", "", "--json", *sets]
    return [*TORCHRUN, "--nproc-per-node", str(processes), *SLIPWAY, *verb]


def test_two_processes_write_the_checkpoint_of_one(tmp_path, home):
    dataset = datasets.images(tmp_path / "data")
    done = subprocess.run(command(dataset.path, tmp_path / "out"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    made = json.loads(line)
    assert files.verify(tmp_path / "out").digest == made["digest"]
    assert done.stderr.count("epoch 2/2") == 1, "only the first process tells"
    assert [run.steps for run in record.list_runs(open_store(str(home / "store")))] == [("train",)]
    alone = train(dataset, config("lenet5", tmp_path, **PLAIN), tmp_path / "alone")
    weights = [load_file(path / "weights.safetensors") for path in (alone, tmp_path / "out")]
    for name, expected in weights[0].items():
        np.testing.assert_allclose(weights[1][name], expected, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_ends_the_job_with_a_message_and_the_next_call_goes_on(victim, tmp_path, home):
    datasets.images(tmp_path / "data")
    again = command(tmp_path / "data", tmp_path / "out", epochs=40)
    with subprocess.Popen(again, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as job:
        said = []
        for line in job.stderr:
            said.append(line)
            if line.startswith("epoch 3/"):
                os.kill(_worker(job.pid, victim), signal.SIGKILL)
        assert job.wait(timeout=60) != 0
    assert "Signal 9 (SIGKILL)" in "".join(said)
    assert not (tmp_path / "out").exists()
    done = subprocess.run(again, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "continuing after epoch" in done.stderr
    assert json.loads(done.stdout)["epochs"] == 40
    assert not open_store(str(home / "store")).keys("checkpoints")


def _worker(launcher: int, rank: int) -> int:
    """The process of that rank among those that torchrun started."""
    for pid in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        if f"\0RANK={rank}\0" in Path(f"/proc/{pid}/environ").read_text():
            return int(pid)
    raise AssertionError(f"no process of rank {rank}")
