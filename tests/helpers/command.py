"""`slipway` as a user runs it: a process of its own, in a folder of its own; or within this one, where speed counts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from slipway.cli import main

DEADLINE_S = 600


def slipway(
    *arguments: str, cwd: Path, python: str = sys.executable, deadline_s: float = DEADLINE_S
) -> subprocess.CompletedProcess[str]:
    """Run `slipway ARGUMENTS` in `cwd`; the environment is this process's."""
    return subprocess.run(
        [python, "-c", "from slipway.cli import main; main()", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=deadline_s,
    )


def outcome(*arguments: str, cwd: Path, code: int = 0, python: str = sys.executable) -> dict[str, Any]:
    """The one JSON object of `slipway run ARGUMENTS --json`, which must end with `code`."""
    done = slipway("run", *arguments, "--json", cwd=cwd, python=python)
    assert done.returncode == code, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout
    return json.loads(lines[0])


def within(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `slipway ARGUMENTS` in this process."""
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    out, err = capsys.readouterr()
    return ended.value.code or 0, out, err
