"""`slipway` as a user runs it: a process of its own, in a folder of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

DEADLINE_S = 600


def slipway(*arguments: str, cwd: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run `slipway ARGUMENTS` in `cwd`; the environment is this process's."""
    return subprocess.run(
        [python, "-c", "from slipway.cli import main; main()", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def outcome(*arguments: str, cwd: Path, code: int = 0, python: str = sys.executable) -> dict[str, Any]:
    """The one JSON object of `slipway run ARGUMENTS --json`, which must end with `code`."""
    done = slipway("run", *arguments, "--json", cwd=cwd, python=python)
    assert done.returncode == code, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout
    return json.loads(lines[0])
