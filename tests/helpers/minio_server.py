"""A real S3 server for tests: MinIO on a free port, with its data in a folder of its own."""

import json
import os
import queue
import shutil
import subprocess
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START_S = 30.0
ACCESS_KEY, SECRET_KEY = "test-access-key", "test-secret-key"


@dataclass(frozen=True)
class MinioServer:
    """A running server; `access_key` and `secret_key` are those of its root user."""

    endpoint: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY

    def client(self):
        from minio import Minio

        return Minio(self.endpoint.removeprefix("http://"), self.access_key, self.secret_key, secure=False)

    def new_bucket(self) -> str:
        """A bucket of a name never used before."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client().make_bucket(name)
        return name

    def environment(self) -> dict[str, str]:
        """What a program needs in its environment to use this server."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }


def binary() -> str | None:
    """The server's program: $MINIO_BIN, minio in PATH, or what `make minio` built."""
    built = ROOT / ".cache/bin/minio"
    return os.environ.get("MINIO_BIN") or shutil.which("minio") or (str(built) if built.is_file() else None)


@contextmanager
def running(folder: Path) -> Iterator[MinioServer]:
    """Start a server over `folder`; it is killed at the end of the block."""
    program = binary()
    if program is None:
        pytest.skip("no minio binary: run make minio")
    env = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "MINIO_ROOT_USER": ACCESS_KEY,
        "MINIO_ROOT_PASSWORD": SECRET_KEY,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    command = [program, "server", str(folder / "data"), "--address", "127.0.0.1:0", "--json"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield MinioServer(_wait_ready(process))
    finally:
        process.kill()
        process.communicate()


def _wait_ready(process: subprocess.Popen) -> str:
    """The address the server says it listens on, once it says that it is ready."""
    deadline = time.monotonic() + START_S
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line) for line in process.stdout], daemon=True).start()
    said = []
    while time.monotonic() < deadline and process.poll() is None:
        try:
            said.append(lines.get(timeout=0.2))
        except queue.Empty:
            continue
        message = json.loads(said[-1]).get("message", "") if said[-1].startswith("{") else ""
        if message.startswith("API: "):
            endpoint = message.split()[1]
            with urllib.request.urlopen(f"{endpoint}/minio/health/ready", timeout=START_S) as answer:
                assert answer.status == 200
            return endpoint
    raise RuntimeError(f"minio did not start within {START_S:g} s: {''.join(said)[-2000:]}")


@pytest.fixture(scope="session")
def minio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """One server for the whole run; take a `new_bucket()` per test."""
    with running(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture
def s3_bucket(minio_server: MinioServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket; the environment's S3 settings point at the server."""
    for name, value in minio_server.environment().items():
        monkeypatch.setenv(name, value)
    return minio_server.new_bucket()
