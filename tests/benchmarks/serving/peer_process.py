"""A peer's environment and its processes."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.serving import wire
from tests.benchmarks.serving.ours import Server
from tests.benchmarks.serving.peers import PEERS, RUNTIME
from tests.benchmarks.serving.wire import Request

APPS = Path(__file__).with_name("apps")
START_S, STOP_S = 180, 20


class PeerError(Exception):
    """A peer cannot be installed or started; the message has its reason."""


def install(name: str, cache: Path) -> Path:
    """The environment of a peer below `cache`, made by pip unless it is there already.

    Raises: PeerError: pip's last line.
    """
    folder, wanted = cache / name, "\n".join((*PEERS[name].requirements, *RUNTIME))
    stamp = folder / "requirements.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    command = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-input", *wanted.split("\n")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError(f"pip install: {(done.stderr.strip().splitlines() or ['no reason'])[-1][:300]}")
    stamp.write_text(wanted, encoding="utf-8")
    return folder


@contextmanager
def running(
    name: str, environment: Path, graphs: Mapping[str, Path], probe: Request, *, threads: int, workers: int
) -> Iterator[Server]:
    """A peer that answers `probe`.

    Args:
        threads: of each of its sessions.
        workers: its processes that answer.
    Raises: PeerError: it does not come up; the message has the end of its log.
    """
    peer, log = PEERS[name], environment.with_name(f"{name}.log")
    port, grpc_port, other_port = _free_ports(3)
    with TemporaryDirectory(prefix="bench-peer-", ignore_cleanup_errors=True) as scratch, log.open("w") as out:
        values = {"bin": environment / "bin", "apps": APPS, "scratch": scratch, "workers": workers, "threads": threads}
        values |= {"port": port, "grpc_port": grpc_port, "other_port": other_port, "beside": workers if workers > 1 else 0}
        told = {f"BENCH_{key.upper()}": str(values[key]) for key in ("threads", "workers", "port", "grpc_port")}
        told |= {f"BENCH_{model.upper()}": str(path) for model, path in graphs.items()}
        told |= {key: value.format(**values) for key, value in peer.environment.items()}
        told |= {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(APPS)}
        child = subprocess.Popen(
            [part.format(**values) for part in peer.command],
            cwd=scratch,
            env=os.environ | told,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            server = Server(child.pid, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{grpc_port}")
            _until_it_answers(child, server.url(probe), probe, log)
            yield server
        finally:
            _end(child)


def _until_it_answers(child: "subprocess.Popen[bytes]", url: str, probe: Request, log: Path) -> None:
    import grpc
    import httpx

    ends = time.monotonic() + START_S
    while True:
        try:
            wire.ask(url, probe, timeout_s=30)
            return
        except (httpx.HTTPError, grpc.RpcError) as exc:
            reason = f"{exc}"
        if child.poll() is not None or time.monotonic() > ends:
            tail = " | ".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-2:])
            state = f"ended with {child.returncode}" if child.returncode is not None else f"no answer in {START_S} s ({reason})"
            raise PeerError(f"{state}: {tail[-300:]}")
        time.sleep(0.2)


def _end(child: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(STOP_S)
    # a worker may outlive its parent: the group is killed even where the parent ended by itself


def _free_ports(count: int) -> list[int]:
    """Ports that are free now: most peers cannot choose one and say which."""
    bound = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in bound]
    for s in bound:
        s.close()
    return ports
