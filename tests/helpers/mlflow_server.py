"""A real MLflow server for tests: SQLite and artifacts in a folder of its own, on a free port."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_S = 180.0
"""15 s on two idle cores; tests may share them."""


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Start a server over `folder` and yield its URL; its process group is killed at the end of the block."""
    # The job runner would start seven more processes, which nothing here needs.
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "0", "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "artifacts")]
    process = subprocess.Popen(
        [*command, *stores],
        env=env,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield _wait_ready(process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_ready(process: subprocess.Popen) -> str:
    """The address the server says it runs on; its output is read on, so that it never blocks."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        with process.stdout:
            for line in process.stdout:
                lines.put(line)

    threading.Thread(target=read, daemon=True).start()
    deadline, said = time.monotonic() + START_S, []
    while time.monotonic() < deadline and process.poll() is None:
        try:
            said.append(lines.get(timeout=0.2))
        except queue.Empty:
            continue
        if found := re.search(r"running on (http://[\d.]+:\d+)", said[-1]):
            return found[1]
    raise RuntimeError(f"mlflow server did not start within {START_S:g} s: {''.join(said)[-2000:]}")


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of one server for the whole run; use model names and run ids of your own."""
    with running(tmp_path_factory.mktemp("mlflow-server")) as url:
        yield url
