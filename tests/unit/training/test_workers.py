"""Several processes train one model: torchrun's launcher, torch's DDP, on CPUs."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from slipway import settings as settings_
from slipway.errors import ConfigError, StepFailedError
from slipway.store import files
from slipway.store.uri import open_store
from slipway.training.distributed import Workers
from slipway.training.train import train
from tests.helpers import checkpoints, datasets
from tests.helpers.training import config

pytestmark = [pytest.mark.integration]

PLAIN = {"augment": False, "epochs": 2, "optimizer": "sgd", "learning_rate": 0.02}
"""No batch norm and no random augmentation: what is left must not depend on how many share the work."""


def test_a_process_of_torchruns_knows_its_rank_and_its_share_of_the_cores():
    launched = {"TORCHELASTIC_RUN_ID": "x", "RANK": "3", "LOCAL_WORLD_SIZE": "1000"}
    assert (settings_.load(launched).rank, settings_.load(launched).threads) == (3, 1)
    assert settings_.load({"RANK": "3"}).rank == 0, "other launchers mean something else by it"


def test_every_item_of_a_batch_is_shared_out_once():
    batch = np.arange(11)
    shares = [Workers(rank, 3).share(batch) for rank in range(3)]
    assert np.concatenate(shares).tolist() == batch.tolist()


@pytest.mark.parametrize(
    "more",
    [{}, {"accumulate": 2, "ema": 0.9}, {"start": "start", "prune_channels": 0.5, "sparsity": 0.3}],
    ids=["plain", "accumulate-ema", "pruned"],
)
def test_two_workers_end_where_one_does(more, tmp_path):
    dataset = datasets.images(tmp_path / "data")
    if "start" in more:
        more = {**more, "start": str(checkpoints.write(dataset, tmp_path / "start", members=(("lenet5", {}),)))}
    settings, epochs = config("lenet5", tmp_path, **PLAIN, **more), []
    one = train(dataset, settings, tmp_path / "one")
    two = train(dataset, replace(settings, workers=2), tmp_path / "two", on_epoch=epochs.append)
    files.verify(two)
    assert [record.epoch for record in epochs] == [1, 2]
    weights = [load_file(path / "weights.safetensors") for path in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, expected in weights[0].items():
        np.testing.assert_allclose(weights[1][name], expected, rtol=1e-3, atol=1e-5, err_msg=name)
    losses = [[e["train_loss"] for e in json.loads((path / "model.json").read_text())["history"]] for path in (one, two)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


def test_a_mistake_that_a_worker_finds_is_the_callers_error(tmp_path):
    dataset = datasets.images(tmp_path / "data")
    wrong = config("lenet5", tmp_path, **{**PLAIN, "learning_rate": 1e30, "warmup": 0.0, "clip_norm": 0.0}, workers=2)
    with pytest.raises(ConfigError, match=r"loss became (nan|inf) in epoch 1"):
        train(dataset, wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_killed_worker_ends_the_job_with_a_message_and_the_next_call_goes_on(tmp_path):
    dataset = datasets.images(tmp_path / "data")
    settings = config("lenet5", tmp_path, **{**PLAIN, "epochs": 60}, workers=2)
    store = open_store(str(tmp_path / "store"))
    seen = []

    def kill_one(record):
        seen.append(record.epoch)
        if len(seen) == 3:
            os.kill(_workers_of(os.getpid())[-1], signal.SIGKILL)

    with pytest.raises(StepFailedError, match=r"worker \d ended by SIGKILL, so all did; run the same again"):
        train(dataset, settings, tmp_path / "out", store=store, on_epoch=kill_one)
    assert not (tmp_path / "out").exists()
    resumed = []
    train(dataset, settings, tmp_path / "out", store=store, on_epoch=lambda r: resumed.append(r.epoch))
    assert resumed[0] > 1
    assert resumed[-1] == 60
    files.verify(tmp_path / "out")


CALLER = """
import sys
from pathlib import Path
from slipway.data.dataset import Dataset
from slipway.training.train import train
from tests.helpers.training import config
base = Path(sys.argv[1])
train(Dataset.load(base / "data"), config("lenet5", base, augment=False, epochs=10_000, workers=2), base / "out",
      on_epoch=lambda r: print(r.epoch, flush=True))
"""


def test_workers_end_with_a_killed_caller(tmp_path):
    datasets.images(tmp_path / "data")
    env = {**os.environ, "PYTHONPATH": "."}
    with subprocess.Popen([sys.executable, "-c", CALLER, str(tmp_path)], stdout=subprocess.PIPE, env=env) as caller:
        assert caller.stdout.readline()
        workers = _workers_of(caller.pid)
        assert len(workers) == 2
        caller.kill()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(_alive(pid) for pid in workers):
        time.sleep(0.05)
    assert not [pid for pid in workers if _alive(pid)]


def _workers_of(pid):
    """Processes that the launcher of this process started."""
    return [worker for launcher in _children(pid) for worker in _children(launcher)]


def _children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
