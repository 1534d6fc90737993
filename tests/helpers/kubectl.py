"""kubectl as a person uses it, against the current kubeconfig: objects in and out, waits with deadlines, forwarded ports."""

import base64
import contextlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DEADLINE_S = 300
REACH_S = 30
AGAIN_S = 1.0
"""Before a port is forwarded again, where what it led to is gone."""
FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


def kubectl(*arguments: str, input_: str | None = None, check: bool = True) -> str:
    """What it prints. With `check`, an AssertionError with what it says where it fails."""
    done = subprocess.run(["kubectl", *arguments], input=input_, capture_output=True, text=True, timeout=2 * DEADLINE_S)
    if check and done.returncode:
        raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def reachable() -> bool:
    """Is there a kubeconfig whose cluster answers?"""
    try:
        command = ["kubectl", "get", "--raw", "/readyz", "--request-timeout=5s"]
        return subprocess.run(command, capture_output=True, timeout=REACH_S).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def apply(*objects: Mapping[str, Any]) -> None:
    """Create the objects or bring them up to date."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input_=json.dumps(listed))


def get(namespace: str, *what: str) -> dict[str, Any]:
    """An object, or the list of a kind."""
    return json.loads(kubectl("-n", namespace, "get", *what, "-o", "json"))


def secret(namespace: str, name: str) -> dict[str, str]:
    """Keys and values of a Secret."""
    return {key: base64.b64decode(value).decode() for key, value in get(namespace, "secret", name)["data"].items()}


def wait(namespace: str, what: str, condition: str, deadline_s: int = DEADLINE_S) -> None:
    """Until `condition` is so, such as `condition=Complete` or `jsonpath={.status.phase}=Running`."""
    kubectl("-n", namespace, "wait", what, f"--for={condition}", f"--timeout={deadline_s}s")


@contextlib.contextmanager
def forwarded(namespace: str, target: str, port: int) -> Iterator[str]:
    """`127.0.0.1:PORT` that leads to a port of a Service or pod while the block lasts, whoever replaces it."""

    def opened(local: str = "") -> subprocess.Popen[str]:
        command = ["kubectl", "-n", namespace, "port-forward", target, f"{local}:{port}", "--address", "127.0.0.1"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    process = opened()
    line = process.stdout.readline()
    found = FORWARDING.match(line)
    if not found:
        process.kill()
        raise AssertionError(f"kubectl port-forward {namespace}/{target}: {line.strip() or 'ended'}")
    over = threading.Event()

    def follow() -> None:
        nonlocal process
        while True:
            for _ in process.stdout:  # a line for each connection: unread, they fill the pipe, and nothing gets through
                pass
            process.communicate()
            if over.wait(AGAIN_S):
                return
            process = opened(found[1])
            if over.is_set():
                process.terminate()

    follower = threading.Thread(target=follow)
    follower.start()
    try:
        yield f"127.0.0.1:{found[1]}"
    finally:
        over.set()
        process.terminate()
        follower.join(REACH_S)


@contextlib.contextmanager
def labelled(node: str, label: str, value: str) -> Iterator[None]:
    """A label of a node, while the block lasts."""
    kubectl("label", "node", node, f"{label}={value}")
    try:
        yield
    finally:
        kubectl("label", "node", node, f"{label}-")


@contextlib.contextmanager
def extended(node: str, resource: str, count: int = 1) -> Iterator[None]:
    """A node that says it has so many of a resource while the block lasts; its kubelet then lets pods have them."""
    where = f"/status/capacity/{resource.replace('/', '~1')}"

    def patch(**change: str) -> None:
        kubectl("patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps([{**change, "path": where}]))

    patch(op="add", value=str(count))
    try:
        yield
    finally:
        patch(op="remove")


def keep(namespace: str, folder: Path) -> None:
    """Objects, events and logs of a namespace, for who looks into a failure."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, arguments in {
        "objects.yaml": ("get", "all,inferenceservices,httproutes,configmaps", "-o", "yaml"),
        "events.txt": ("get", "events", "--sort-by=.lastTimestamp"),
        "pods.txt": ("describe", "pods"),
    }.items():
        (folder / name).write_text(kubectl("-n", namespace, *arguments, check=False), encoding="utf-8")
    for pod in kubectl("-n", namespace, "get", "pods", "-o", "name", check=False).split():
        log = kubectl("-n", namespace, "logs", pod, "--all-containers", "--prefix", "--tail=2000", check=False)
        (folder / f"{pod.rpartition('/')[2]}.log").write_text(log, encoding="utf-8")
