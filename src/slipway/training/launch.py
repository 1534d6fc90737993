"""Start the workers of one training run on this machine with torchrun's launcher, and hear what they say.

Three kinds of process: the caller (`launch`), the launcher (`main` with a request, which restarts nothing and ends all when
one dies), and the workers (`work`), which call `train.train` like anybody else. All hold the read end of a pipe as their
standard input; when the caller dies, however it dies, it closes and they end themselves.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from slipway import errors
from slipway.errors import ConfigError, SlipwayError, StepFailedError
from slipway.training.history import EpochRecord
from slipway.training.recipe import TrainConfig


def launch(
    dataset: Path,
    config: TrainConfig,
    out: Path,
    *,
    store: str,
    cache: str,
    publish: str,
    keep_state: bool,
    on_epoch: Callable[[EpochRecord], None] | None,
) -> None:
    """Train with `config.workers` processes; returns when the checkpoint is at `out`.

    Args:
        store: URI of the store that keeps the state; empty keeps none.
        cache: folder for fetched teachers; empty allows none.
        publish, keep_state: see `train.train`.
    Raises:
        ConfigError, DataError …: what the first worker that failed raised.
        StepFailedError: a worker was killed; the message names it and the signal. The same call goes on.
    """
    request: dict[str, Any] = {"dataset": str(dataset), "out": str(out), "store": store, "cache": cache, "publish": publish}
    request |= {"keep_state": keep_state, "config": asdict(config)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "request.json"
        path.write_text(json.dumps(request), encoding="utf-8")
        command = [sys.executable, "-m", "slipway.training.launch", str(path), str(config.workers)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as launcher:
            try:
                failures = [said for said in _heard(launcher, on_epoch) if "rank" in said]
                code = launcher.wait()
            finally:
                if launcher.stdin:
                    launcher.stdin.close()  # whoever is left ends
                launcher.terminate()
    if failures:
        raise _error(failures)
    if code:
        raise StepFailedError(f"training: the launcher of {config.workers} workers ended with exit code {code}")


def _heard(launcher: subprocess.Popen[str], on_epoch: Callable[[EpochRecord], None] | None) -> list[dict[str, Any]]:
    said = []
    for line in launcher.stdout or ():
        message = json.loads(line)
        if "epoch" in message:
            if on_epoch:
                on_epoch(EpochRecord(**message))
        else:
            said.append(message)
    return said


def _error(failures: list[dict[str, Any]]) -> SlipwayError:
    """A worker's own error before what the launcher saw of it."""
    for said in failures:
        if kind := getattr(errors, said.get("error", ""), None):
            error: SlipwayError = kind(said["message"])
            return error
    first = failures[0]
    return StepFailedError(
        f"training: worker {first['rank']} ended by {first['message']}, so all did; run the same again, "
        f"it goes on from the last state that was kept"
    )


def say(message: dict[str, Any]) -> None:
    """One line to the caller; short enough to be written whole beside other workers' lines."""
    with suppress(BrokenPipeError):  # the caller is gone; so will this process be
        os.write(1, (json.dumps(message) + "\n").encode())


def work(request: Path) -> int:
    """One worker: the same `train` as without workers; 1 after an error, which is told to the caller."""
    threading.Thread(target=_end_with_caller, daemon=True).start()
    asked = json.loads(request.read_text(encoding="utf-8"))
    from slipway.data.dataset import Dataset
    from slipway.models.runtime import before_torch
    from slipway.store.uri import open_store
    from slipway.training.train import train

    before_torch()
    config = TrainConfig(**asked["config"])
    share = max(1, (config.threads or os.cpu_count() or 1) // config.workers)
    try:
        train(
            Dataset.load(Path(asked["dataset"])),
            replace(config, threads=share),
            Path(asked["out"]),
            store=open_store(asked["store"]) if asked["store"] else None,
            cache=Path(asked["cache"]) if asked["cache"] else None,
            publish=asked["publish"],
            keep_state=asked["keep_state"],
            on_epoch=lambda record: say(asdict(record)),
        )
    except StepFailedError as exc:  # of another worker's end, of which the launcher knows more
        sys.stderr.write(f"{exc}\n")
        return 1
    except SlipwayError as exc:
        say({"rank": -1, "error": type(exc).__name__, "message": str(exc)[:2000]})
        return 1
    return 0


def main(request: Path, workers: int) -> int:
    """The launcher: torchrun's own, for this machine alone."""
    import logging

    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=workers, run_id=request.parent.name, max_restarts=0,
        rdzv_backend="c10d", rdzv_endpoint="localhost:0", monitor_interval=0.2,
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)("-m", "slipway.training.launch", str(request))
    except ChildFailedError as exc:
        # One that was killed takes others along, which then fail by themselves: the signal is the cause.
        rank, failure = min(exc.failures.items(), key=lambda item: (item[1].exitcode >= 0, item[1].timestamp))
        say({"rank": rank, "message": failure.signal_name() if failure.exitcode < 0 else f"exit code {failure.exitcode}"})
        return 1
    return 0


def _end_with_caller() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise ConfigError("slipway.training.launch: is started by training itself; use `slipway train --set workers=N`")
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) == 3 else work(Path(sys.argv[1])))
