"""README's commands do what README says: its marked blocks run, one after the other, as a reader would run them."""

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- run -->\n```(sh|python)\n(.*?)```", README, re.S)
SHELLS = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [str(ROOT / ".venv/bin/python"), "-c"]}
DEADLINE_S = 600


@pytest.mark.integration
@pytest.mark.slow
def test_the_first_ten_minutes_work_as_written(tmp_path):
    assert len(BLOCKS) >= 3
    environment = {**os.environ, "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"}
    for language, block in BLOCKS:
        log = tmp_path / "said.txt"  # not a pipe: a server left in the background would hold its end
        with log.open("w") as said:
            process = subprocess.Popen(
                [*SHELLS[language], block],
                cwd=tmp_path,
                env=environment,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(DEADLINE_S)
            finally:
                with contextlib.suppress(ProcessLookupError):  # nothing was left behind
                    os.killpg(process.pid, signal.SIGKILL)
        assert code == 0, f"{block}\n{log.read_text()}"


def test_every_make_target_that_readme_names_exists():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make ([a-z0-9-]+)", README)) | set(re.findall(r"^make ([a-z0-9-]+)", README, re.M)) <= targets


def test_the_changelog_starts_with_this_version():
    import slipway

    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)[1] == slipway.__version__
