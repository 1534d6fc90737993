"""Real servers for tests: in this process, or in one of their own; always on a free port, always stopped."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import uvicorn

DEADLINE_S = 30


@contextlib.contextmanager
def running(app, *, ready: bool = True, http="auto") -> Iterator[httpx.Client]:
    """A client of `app`, served by uvicorn in a thread, once every model of it is ready, or before."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, loop="uvloop", http=http, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "uvicorn to start")
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S, trust_env=False) as client:
            if ready:
                wait_until(lambda: client.get("/v2/health/ready").status_code == 200, "the models to be ready")
            yield client
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)


@contextlib.contextmanager
def process(*args: str, python: tuple[str, ...] = (sys.executable,)) -> Iterator[subprocess.Popen]:
    """`python -m slipway.server ARGS` in a process of its own, pipes open."""
    command = [*python, "-m", "slipway.server", *args]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate(timeout=DEADLINE_S)


def ready_line(child: subprocess.Popen) -> dict:
    """What the server prints once it is ready."""
    line = child.stdout.readline()
    if not line:
        raise AssertionError(f"the server ended: {child.stderr.read()}")
    return json.loads(line)


def wait_until(condition, what: str, deadline_s: float = DEADLINE_S, pause_s: float = 0.005) -> None:
    """Poll a condition, with a deadline; `pause_s` between two looks."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s} s for {what}")
        time.sleep(pause_s)


REPOSITORY = Path(__file__).resolve().parents[2]
