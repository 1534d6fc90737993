"""Load by h2load in a closed loop: its command line, and what it wrote."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.benchmarks.serving.wire import Request

UNPACKED = Path(__file__).parents[3] / ".cache/h2load"
"""Where `tests/helpers/unpack_h2load.sh` puts it."""
PATIENCE_S = 60
"""For the slowest answer, beyond the load's own time."""
COUNTS = re.compile(
    r"requests: \d+ total, \d+ started, (?P<done>\d+) done, (?P<succeeded>\d+) succeeded, "
    r"(?P<failed>\d+) failed, (?P<errored>\d+) errored, (?P<timeout>\d+) timeout"
)
DATA = re.compile(r"\((?P<bytes>\d+)\) data$", re.MULTILINE)


class LoadError(Exception):
    """The load says nothing about speed: requests failed, or h2load did."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it."""

    rate: float
    """Answers a second."""
    p50_ms: float
    p99_ms: float
    count: int
    """Answers."""


def run(url: str, request: Request, *, clients: int, seconds: float, answer_bytes: int = 0, per_second: int = 0) -> Load:
    """Send one request over and over.

    Args:
        clients: connections, each with one request at a time.
        seconds: that count; a third of it comes before them. With a warm-up h2load counts what ends in this time, without
            it loses a request of each client.
        answer_bytes: of a right answer's body: gRPC's errors are answers of status 200 without one. 0: not looked at.
        per_second: at most so many requests a second of each client; 0: as many as there come answers.
    Raises: LoadError: a request failed, or nothing was answered.
    """
    with _waiting(url, request, clients, seconds, per_second) as (child, log):
        try:
            out, err = child.communicate(timeout=seconds * 2 + PATIENCE_S)
        except subprocess.TimeoutExpired as exc:
            raise LoadError(f"h2load: no end after {exc.timeout:g} s") from exc
        return parse(out, log.read_text(encoding="utf-8"), err, clients=clients, seconds=seconds, answer_bytes=answer_bytes)


def parse(out: str, log: str, err: str = "", *, clients: int, seconds: float, answer_bytes: int) -> Load:
    """Read h2load's output and its log of requests. Raises: see `run`."""
    counts, data = COUNTS.search(out), DATA.search(out)
    if counts is None or data is None:
        raise LoadError(f"h2load: no result: {(err or out).strip()[-300:]}")
    found = {name: int(value) for name, value in counts.groupdict().items()}
    bad = {name: found[name] for name in ("failed", "errored", "timeout") if found[name]}
    if not found["done"] and not bad:
        raise LoadError(f"h2load: nothing was answered in {seconds:g} s; give it more seconds")
    if bad or found["succeeded"] != found["done"]:
        raise LoadError(f"h2load: {found['succeeded']} of {found['done']} answers succeeded {bad or ''}".rstrip())
    if int(data["bytes"]) < 0.9 * answer_bytes * found["done"]:
        raise LoadError(
            f"h2load: {found['done']} answers have {data['bytes']} bytes in all, a right one {answer_bytes}; some are errors"
        )
    rows = [line.split("\t") for line in log.splitlines()]
    taken = [int(row[2]) / 1000 for row in rows if row[1] == "200"]
    if not found["done"] - clients <= len(taken) <= found["done"]:  # answers at the end are not always in the log
        raise LoadError(f"h2load: {found['done']} answers, but {len(taken)} in its log")
    p50, p99 = (float(value) for value in np.percentile(taken, (50, 99)))
    return Load(found["done"] / seconds, p50, p99, found["done"])


@contextmanager
def _waiting(
    url: str, request: Request, clients: int, seconds: float, per_second: int
) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    binary, environment = _binary()
    with TemporaryDirectory(prefix="h2load-") as scratch:
        log = Path(scratch) / "log"
        options = [f"--clients={clients}", "--max-concurrent-streams=1", f"--log-file={log}"]
        options += [f"--duration={_ms(seconds)}", f"--warm-up-time={_ms(seconds / 3)}"]
        options += [f"--rps={per_second}"] if per_second else []
        options += [] if request.http2 else ["--h1"]
        options += [f"--header={name}: {value}" for name, value in request.headers.items()]
        if request.body:
            body = Path(scratch) / "body"
            body.write_bytes(request.body)
            options.append(f"--data={body}")
        child = subprocess.Popen(
            [binary, *options, url + request.path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        try:
            yield child, log
        finally:
            child.kill()
            child.communicate()


def _binary() -> tuple[str, dict[str, str]]:
    """h2load, and the environment that it needs. Raises: LoadError: it is not there."""
    if (unpacked := UNPACKED / "usr/bin/h2load").exists():
        libraries = next(UNPACKED.glob("usr/lib/*/libev.so.4")).parent
        return str(unpacked), {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
    if found := shutil.which("h2load"):
        return found, dict(os.environ)
    raise LoadError("h2load: not found; install Debian's nghttp2-client, or run tests/helpers/unpack_h2load.sh .cache/h2load")


def _ms(seconds: float) -> str:
    return f"{round(1000 * seconds)}ms"
