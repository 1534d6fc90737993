"""Prepare, killed anywhere: nothing half-written is visible, and the next run gives the bytes of a run never killed."""

import random
import signal
import subprocess
import sys
import time

import pytest

from slipway.data.dataset import Dataset
from slipway.store import files

pytestmark = pytest.mark.integration

CODE = """
import os, signal, sys
from pathlib import Path
from slipway.data.datasets import open_dataset
from slipway.data.prepare import PrepareConfig, prepare

left = int(sys.argv[2])

def on_rename(event, arguments):  # dies in the moment before the nth rename
    global left
    if event == "os.rename":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

if left:
    sys.addaudithook(on_rename)
prepare(open_dataset("steel", family="defect", size=600), Path(sys.argv[1]), PrepareConfig(family="defect"))
"""


def start(out, kill_before_rename=0):
    return subprocess.Popen([sys.executable, "-c", CODE, str(out), str(kill_before_rename)], start_new_session=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Digest of a run that nobody kills, and the seconds it takes."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    started_s = time.monotonic()
    assert start(out).wait(60) == 0
    return files.verify(out).digest, time.monotonic() - started_s


def assert_absent_or_complete(out, digest):
    if out.exists():
        assert Dataset.load(out, verify=True).path == out
        assert files.read_manifest(out).digest == digest


def assert_heals(out, digest):
    assert start(out).wait(60) == 0
    assert files.verify(out).digest == digest
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_a_random_time(seed, undisturbed, tmp_path):
    digest, whole_s = undisturbed
    out = tmp_path / "folder" / "out"
    process = start(out)
    try:
        process.wait(random.Random(seed).uniform(0.3, 1.0) * whole_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert_absent_or_complete(out, digest)
    assert_heals(out, digest)


@pytest.mark.parametrize("again", [False, True], ids=["first", "over an earlier one"])
@pytest.mark.parametrize("rename", [1, 2, 3, 4])
def test_killed_at_a_rename(rename, again, undisturbed, tmp_path):
    digest, _ = undisturbed
    out = tmp_path / "folder" / "out"
    if again:
        assert start(out).wait(60) == 0
    code = start(out, kill_before_rename=rename).wait(60)
    assert code == (0 if rename == 4 and not again else -signal.SIGKILL)
    assert_absent_or_complete(out, digest)
    assert_heals(out, digest)
