"""Other servers, each in an environment of its own, serving the same ONNX files by onnxruntime in their own way."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from tests.benchmarks.serving import wire
from tests.benchmarks.serving.cells import BINARY, GRPC, JSON
from tests.benchmarks.serving.models import CNN
from tests.benchmarks.serving.ours import Server
from tests.benchmarks.serving.wire import Request

APPS = Path(__file__).with_name("apps")
RESNET = "resnet18_224"
START_S, STOP_S = 180, 20
RUNTIME = ("onnxruntime==1.31.1", "numpy==2.4.6", "pillow==13.0.0")
Asked = Mapping[tuple[str, str], Callable[[Any], Request]]
"""(model, form) -> raw item to request."""


class PeerError(Exception):
    """A peer cannot be installed or started; the message has its reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """A server to be compared with."""

    requirements: tuple[str, ...]
    """Beside RUNTIME."""
    command: tuple[str, ...]
    """Run in APPS; `{bin}`, `{port}` and `{workers}` are put in."""
    asked: Asked


def _v2(*forms: tuple[str, str]) -> Asked:
    makers = {JSON: wire.as_json, BINARY: wire.as_binary, GRPC: wire.as_grpc}

    def request(model: str, form: str) -> Callable[[Any], Request]:
        return lambda item: makers[form](model, "image", item if isinstance(item, bytes) else item[None])

    return {(model, form): request(model, form) for model, form in forms}


def _json(path: str, body: Callable[[Any], Any], read: Callable[[Any], Any]) -> Callable[[Any], Request]:
    def request(item: Any) -> Request:
        sent = orjson.dumps(body(item), option=orjson.OPT_SERIALIZE_NUMPY)
        return Request(path=path, body=sent, headers={"content-type": "application/json"}, read=_reader(read))

    return request


def _raw(path: str, content_type: str, read: Callable[[Any], Any]) -> Callable[[Any], Request]:
    def request(item: Any) -> Request:
        sent = item if isinstance(item, bytes) else item.tobytes()
        return Request(path=path, body=sent, headers={"content-type": content_type}, read=_reader(read))

    return request


def _reader(read: Callable[[Any], Any]) -> Callable[[bytes], np.ndarray]:
    return lambda body: np.asarray(read(orjson.loads(body)), np.float32).ravel()


def _probabilities(answer: Any) -> Any:
    return answer["probabilities"]


def _itself(answer: Any) -> Any:
    return answer


PEERS: Mapping[str, Peer] = {
    "kserve": Peer(
        requirements=("kserve==0.21.0",),
        command=("{bin}/python", "kserve_app.py"),
        asked=_v2((CNN, JSON), (CNN, BINARY), (CNN, GRPC), (RESNET, JSON), (RESNET, BINARY)),
    ),
    "mlserver": Peer(
        requirements=("mlserver==1.7.1",),
        command=("{bin}/mlserver", "start", "mlserver"),
        asked=_v2((CNN, JSON), (CNN, GRPC), (RESNET, JSON)),
    ),
    "bentoml": Peer(
        requirements=("bentoml==1.4.40",),
        command=("{bin}/bentoml", "serve", "bentoml_app:Onnx", "--host", "127.0.0.1", "--port", "{port}"),
        asked={(CNN, JSON): _json("/tensor", lambda item: {"input": item[None]}, _itself)},
    ),
    "litserve": Peer(
        requirements=("litserve==0.2.19",),
        command=("{bin}/python", "litserve_app.py"),
        asked={
            (CNN, JSON): _json("/json", lambda item: {"input": item[None]}, _probabilities),
            (RESNET, JSON): _json("/image", lambda item: {"image": wire.base64_of(item)}, _probabilities),
        },
    ),
    "mlflow": Peer(
        requirements=("mlflow==3.17.2", "onnx==1.23.2"),
        command=("{bin}/python", "mlflow_app.py"),
        asked={
            (CNN, JSON): _json(
                "/invocations", lambda item: {"inputs": item[None]}, lambda answer: answer["predictions"]["probabilities"]
            )
        },
    ),
    "fastapi": Peer(
        requirements=("fastapi==0.165.0", "uvicorn[standard]==0.54.0"),
        command=(
            *("{bin}/python", "-m", "uvicorn", "fastapi_app:app", "--port", "{port}", "--workers", "{workers}"),
            *("--no-access-log", "--log-level", "warning"),
        ),
        asked={
            (CNN, JSON): _json("/json", lambda item: {"shape": [1, *item.shape], "data": item.ravel()}, _probabilities),
            (CNN, BINARY): _raw("/tensor", "application/octet-stream", _probabilities),
            (RESNET, BINARY): _raw("/image", "image/jpeg", _probabilities),
        },
    ),
}


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
) -> Iterator[tuple[Server, int]]:
    """A peer that answers `probe`, and the id of its process group.

    Args:
        threads: of each of its sessions.
        workers: its processes that answer.
    Raises: PeerError: it does not come up; the message has the end of its log.
    """
    http, grpc, metrics = _free_ports(3)
    told = {f"BENCH_{model.upper()}": str(path) for model, path in graphs.items()}
    told |= {
        "BENCH_THREADS": str(threads),
        "BENCH_WORKERS": str(workers),
        "BENCH_PORT": str(http),
        "BENCH_GRPC_PORT": str(grpc),
    }
    told |= {"MLSERVER_HTTP_PORT": str(http), "MLSERVER_GRPC_PORT": str(grpc), "MLSERVER_METRICS_PORT": str(metrics)}
    told |= {
        "MLSERVER_PARALLEL_WORKERS": str(workers if workers > 1 else 0),
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_DEBUG": "false",
    }
    told |= {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(APPS), "BENTOML_DO_NOT_TRACK": "true"}
    values = {"bin": str(environment / "bin"), "port": str(http), "workers": str(workers)}
    command = [part.format(**values) for part in PEERS[name].command]
    log = environment.with_name(f"{name}.log")
    with log.open("w") as out:
        child = subprocess.Popen(
            command, cwd=APPS, env=os.environ | told, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    server = Server(f"http://127.0.0.1:{http}", f"http://127.0.0.1:{grpc}")
    try:
        _until_it_answers(child, server.grpc if probe.http2 else server.http, probe, log)
        yield server, child.pid
    finally:
        _end(child)


def busy_share(group: int, seconds: float = 2.0) -> float:
    """Share of a core that the processes of a group take while nobody asks them."""
    before, began = _cpu_s(group), time.perf_counter()
    time.sleep(seconds)
    return (_cpu_s(group) - before) / (time.perf_counter() - began)


def _cpu_s(group: int) -> float:
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # ended meanwhile
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == group or int(fields[2]) == group:  # session, process group
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


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
