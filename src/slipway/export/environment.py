"""Environments of their own, for tools whose libraries cannot live beside ours: made when first asked for, then kept.

One lies at <home>/environments/<name>-<digest of the lock and of Python's version>, complete or not at all. It is a virtual
environment with what a lock beside this file lists, by version and SHA-256.
"""

import hashlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from slipway.errors import ToolError
from slipway.store import files

FETCHED = re.compile(r"Collecting (\S+)")
PIP = ("-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--retries", "2", "--timeout", "15")


def ready(home: Path, name: str, lock: Path, *, say: Callable[[str], None]) -> Path:
    """The interpreter of the environment; it is set up if it is not there.

    Args:
        lock: requirements with hashes; nothing else is installed.
        say: told what goes on.
    Raises: ToolError: it cannot be set up; the message is the installer's own.
    """
    python_version = "{}.{}".format(*sys.version_info)
    digest = hashlib.sha256(lock.read_bytes() + python_version.encode()).hexdigest()[:12]
    target = home / "environments" / f"{name}-{digest}"
    if target.is_dir():
        return target / "bin/python"
    packages = len(re.findall(r"^[^\s#]+==", lock.read_text(encoding="utf-8"), re.MULTILINE))
    say(f"{name}: sets up an environment of its own, once: {packages} packages, to {target}")
    started = time.perf_counter()
    with files.aside(target) as scratch:
        _run([sys.executable, "-m", "venv", str(scratch)], name, lambda _: None)
        seen: list[str] = []

        def heard(line: str) -> None:
            if found := FETCHED.match(line):
                seen.append(found[1])
                say(f"{name}: {len(seen)} of {packages}, {found[1]}")

        install = [*PIP, "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(lock)]
        _run([str(scratch / "bin/python"), *install], name, heard)
    say(f"{name}: set up in {time.perf_counter() - started:.0f} s")
    return target / "bin/python"


def _run(command: Sequence[str], name: str, heard: Callable[[str], None]) -> None:
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            heard(line)
            last = line.strip() or last
    if process.returncode:
        raise ToolError(
            f"{name}: its environment cannot be set up ({last.removeprefix('ERROR: ')}); it needs Python 3.11 or 3.12 with "
            f"venv, and a package index that can be reached"
        )
