"""Serve a release on this machine, ask it over HTTP, compare with the stored scores, stop."""

# N items, K classes

import base64
import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, Any

import httpx
import numpy as np
from numpy.typing import NDArray

from slipway.errors import BundleError, SlipwayError

MIN_REQUESTS = 200
CONNECTIONS = 4
TOLERANCE = 1e-5
"""Same engine, same machine: only the batch size differs, and JSON, which keeps float32 exactly."""
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 40
REQUEST_TIMEOUT_S = 60


def serve_and_compare(release_uri: str, name: str, items: Sequence[bytes], expected: NDArray[np.float32]) -> dict[str, Any]:
    """Send every item (at least MIN_REQUESTS requests, in turn) to a freshly started server and compare its answers.

    Args:
        release_uri: directory or store URI.
        items: as a client has them: encoded images, or texts in UTF-8.
        expected: probabilities [N, K] of the items, as they were scored.
    Returns: n, max_difference, label_agreement, p50_ms, p95_ms, and one request with its answer as `sample`.
    Raises: BundleError: the server refuses the release. SlipwayError: it does not start, or an answer differs; the message
        names the item.
    """
    if not items or len(items) != len(expected):
        raise SlipwayError(f"check of '{name}': {len(items)} items for {len(expected)} scores; need as many, and at least one")
    with _server(release_uri, name) as base_url:
        return _compare(base_url, name, items, expected)


def _compare(base_url: str, name: str, items: Sequence[bytes], expected: NDArray[np.float32]) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    with httpx.Client(base_url=base_url, limits=limits, timeout=REQUEST_TIMEOUT_S, trust_env=False) as client:
        metadata = client.get(f"/v2/models/{name}").raise_for_status().json()
        labels = metadata["outputs"][0]["parameters"]["labels"]
        kind = metadata["inputs"][0]["name"]
        url = f"/v2/models/{name}/infer"

        def ask(position: int) -> tuple[int, float, httpx.Response]:
            body = json.dumps(_request(kind, items[position]))
            started = time.perf_counter()
            response = client.post(url, content=body)
            return position, time.perf_counter() - started, response

        positions = [i % len(items) for i in range(max(MIN_REQUESTS, len(items)))]
        try:
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                answers = list(pool.map(ask, positions))
        except httpx.HTTPError as exc:
            raise SlipwayError(f"check of '{name}': the server stopped answering ({type(exc).__name__}: {exc})") from exc
    worst, agreed = 0.0, 0
    for position, _, response in answers:
        if response.status_code != 200:
            raise SlipwayError(
                f"check of '{name}': item {position} was answered {response.status_code} {response.text[:300].strip()}"
            )
        outputs = {output["name"]: output["data"] for output in response.json()["outputs"]}
        difference = float(np.abs(np.asarray(outputs["probabilities"], np.float32) - expected[position]).max())
        if not difference <= TOLERANCE:
            raise SlipwayError(
                f"check of '{name}': item {position} is answered {difference:.2g} away from its score, "
                f"allowed is {TOLERANCE:.0e}; what is served is not what was evaluated"
            )
        worst = max(worst, difference)
        agreed += outputs["label"][0] == labels[int(expected[position].argmax())]
    if agreed < len(answers):
        raise SlipwayError(f"check of '{name}': {len(answers) - agreed} of {len(answers)} labels differ from the scores")
    milliseconds = np.array([seconds for _, seconds, _ in answers]) * 1000
    return {
        "n": len(answers),
        "max_difference": worst,
        "label_agreement": agreed / len(answers),
        "p50_ms": round(float(np.percentile(milliseconds, 50)), 3),
        "p95_ms": round(float(np.percentile(milliseconds, 95)), 3),
        "sample": {"request": _request(kind, items[0]), "response": answers[0][2].json()},
    }


def _request(kind: str, item: bytes) -> dict[str, Any]:
    data = item.decode("utf-8") if kind == "text" else base64.b64encode(item).decode()
    return {"inputs": [{"name": kind, "shape": [1], "datatype": "BYTES", "data": [data]}]}


@contextmanager
def _server(release_uri: str, name: str) -> Iterator[str]:
    """Base URL of a server of its own process, which ends with the block, and with this process if that is killed."""
    command = [sys.executable, "-m", "slipway.server", f"{name}={release_uri}", "--port", "0", "--until-eof"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise AssertionError("pipes were asked for")
    said: queue.Queue[str] = queue.Queue()
    errors: list[str] = []
    readers = [
        threading.Thread(target=lambda pipe: said.put(pipe.readline()), args=(process.stdout,), daemon=True),
        threading.Thread(target=_keep_last, args=(process.stderr, errors), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        try:
            line = said.get(timeout=START_TIMEOUT_S)
        except queue.Empty:
            raise SlipwayError(f"check of '{name}': the server was not ready after {START_TIMEOUT_S} s") from None
        if not line:
            code = process.wait(STOP_TIMEOUT_S)
            readers[1].join(STOP_TIMEOUT_S)
            reason = errors[-1].removeprefix("error: ") if errors else "it said nothing"
            raise (BundleError if code == 2 else SlipwayError)(
                f"check of '{name}': the server ended with code {code}: {reason}"
            )
        yield f"http://127.0.0.1:{json.loads(line)['port']}"
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for reader in readers:
            reader.join(STOP_TIMEOUT_S)
        process.stdout.close()
        process.stderr.close()


def _keep_last(pipe: IO[str], lines: list[str]) -> None:
    for line in pipe:
        if not line.startswith("{"):  # not a log line
            lines[:] = [line.strip()]
