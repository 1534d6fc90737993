"""Run a compiled pipeline on this machine with KFP's own local runner."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway.errors import StepFailedError
from slipway.pipelines import lint
from slipway.runs import failure
from slipway.runs import record as records
from slipway.runs.kfp_log import LogReader
from slipway.runs.parameters import compiled
from slipway.runs.progress import Console, Progress
from slipway.runs.record import new_run_id as new_run_id
from slipway.settings import Settings

END_S = 5.0
"""How long ended steps may take to clean up before they are killed."""


def run(
    family: str,
    parameters: dict[str, Any],
    *,
    run_id: str,
    settings: Settings,
    progress: Progress | None = None,
    pipeline: Path | None = None,
) -> str:
    """Run a family's pipeline step by step and return the run's id.

    Everything of the run is in `<home>/runs/<run id>`: log.txt (KFP's log with all that steps said) and artifacts.
    Nothing is written to stdout. However this process ends, its steps end with it.

    Args:
        parameters: typed values of the pipeline's parameters; those not given have their defaults.
        progress: told of every step; None prints one line per step on stderr.
        pipeline: another compiled pipeline than the family's.
    Raises:
        GateRefusedError: the gate refused the model.
        UserError: a step found a mistake of the caller's: raised as the class it was there.
        StepFailedError: a step failed otherwise, or neither branch of a condition ran. All have the attribute `run_id`.
    """
    path = pipeline or compiled(family)
    folder = settings.home / "runs" / run_id
    scratch = folder / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    request = folder / "request.json"
    asked = {
        "pipeline": str(path),
        "parameters": parameters,
        "environment": {
            **_environment(settings),
            "SLIPWAY_RUN_ID": run_id,
            "TMPDIR": str(scratch),
            "PYTHONUNBUFFERED": "1",
        },
        "root": str(folder / "artifacts"),
    }
    request.write_text(json.dumps(asked), encoding="utf-8")
    started = datetime.now(UTC)
    told = progress or Console()
    log = LogReader(told)
    with request.open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)  # says that the run is going on; released by the kernel if we are killed
        try:
            code = _follow(request, folder / "log.txt", log)
        finally:
            told.close()
            shutil.rmtree(scratch, ignore_errors=True)
    where = f"the log is {folder / 'log.txt'}"
    if code:
        steps = {k: v for k, v in _records(settings, run_id).items() if _since(v, started)}
        cause = f"{log.failed or 'the local runner'} failed: {log.last_error or f'exit code {code}'}"
        raise failure.error_of(run_id, steps, otherwise=cause, where=where)
    if skipped := skipped_groups(lint.load(path)[0], log.executed):
        error = StepFailedError(f"{skipped[0]}: neither branch ran, its condition could not be resolved; {where}")
        error.run_id = run_id
        raise error
    return run_id


def going(folder: Path) -> bool:
    """Whether the local run of a folder below `<home>/runs` is going on, on this machine."""
    try:
        with (folder / "request.json").open() as asked:
            fcntl.flock(asked, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def skipped_groups(ir: dict[str, Any], executed: set[str]) -> list[str]:
    """Groups of branches that were reached, and of which no branch ran: KFP counts that as success.

    Args:
        executed: names of the tasks that were started, as KFP logs them (the component's name).
    """
    components = ir["components"]

    def inside(task: dict[str, Any]) -> dict[str, Any]:
        tasks: dict[str, Any] = components[task["componentRef"]["name"]].get("dag", {}).get("tasks", {})
        return tasks

    def ran(task: dict[str, Any]) -> bool:
        nested = inside(task)
        if nested:
            return any(ran(inner) for inner in nested.values())
        return task["componentRef"]["name"].removeprefix("comp-") in executed

    def skipped(name: str, tasks: dict[str, Any]) -> list[str]:
        branches = {t: spec for t, spec in tasks.items() if spec.get("triggerPolicy", {}).get("condition")}
        found = [name] if branches and not any(ran(spec) for spec in branches.values()) else []
        for task, spec in tasks.items():
            if task not in branches or ran(spec):
                found += skipped(task, inside(spec))
        return found

    return skipped("root", ir["root"]["dag"]["tasks"])


def _follow(request: Path, log: Path, reader: LogReader) -> int:
    """Start the worker, copy its log, and return its exit code; the worker and its steps are gone afterwards.

    The worker holds one end of a pipe: when we die, however, it sees the other end close and kills its process group.
    """
    held_end, lifeline = os.pipe()
    command = [sys.executable, "-u", "-W", "ignore", "-m", "slipway.runs.local_worker", str(request), str(held_end)]
    try:
        worker = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(held_end,),
            process_group=0,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except BaseException:
        os.close(lifeline)
        raise
    finally:
        os.close(held_end)
    try:
        assert worker.stdout is not None
        with log.open("a", encoding="utf-8") as copy:
            for line in worker.stdout:
                copy.write(line)
                copy.flush()
                reader.feed(line)
        return worker.wait()
    finally:
        _end(worker)
        os.close(lifeline)


def _end(worker: subprocess.Popen[str]) -> None:
    """End the worker's process group, first politely, so that nothing it started outlives it."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(worker.pid, sign)
            worker.wait(END_S)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    worker.wait()
    if worker.stdout is not None:
        worker.stdout.close()


def _environment(settings: Settings) -> dict[str, str]:
    """The settings as the variables they come from, so that steps see what the caller saw."""
    values = {
        "SLIPWAY_HOME": settings.home,
        "SLIPWAY_STORE": settings.store,
        "AWS_ENDPOINT_URL": settings.s3_endpoint,
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
        "SLIPWAY_DATA": settings.data,
        "SLIPWAY_SERVE_IMAGE": settings.serve_image,
        "SLIPWAY_MODEL_PRIVATE_KEY": settings.model_private_key,
        "SLIPWAY_MODEL_PUBLIC_KEY": settings.model_public_key,
        "SLIPWAY_THREADS": settings.threads,
    }
    return {name: str(value) for name, value in values.items() if value}


def _records(settings: Settings, run_id: str) -> failure.Records:
    from slipway.store.uri import open_store

    return records.peek(open_store(settings.store), run_id)


def _since(entry: dict[str, Any], started: datetime) -> bool:
    """Whether a record is of this attempt; its time is cut to milliseconds."""
    return datetime.fromisoformat(entry["started"]) >= started.replace(microsecond=started.microsecond // 1000 * 1000)
