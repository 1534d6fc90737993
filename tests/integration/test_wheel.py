"""The installed wheel, outside the checkout: what a user has."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.helpers.command import outcome

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> str:
    """Interpreter of an environment that has the wheel; its libraries are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False)
    interpreter = folder / "env/bin/python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(interpreter),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    packages = subprocess.check_output([interpreter, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True)
    # A plain path line: that folder's own .pth files, such as our editable install's, are not followed.
    Path(packages.strip(), "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return str(interpreter)


def test_the_wheel_is_what_runs(python, tmp_path):
    where = subprocess.check_output([python, "-c", "import slipway; print(slipway.__file__)"], cwd=tmp_path, text=True)
    assert str(ROOT) not in where


def test_a_pipeline_runs_from_the_wheel_in_any_folder(python, tmp_path):
    o = outcome("nlp", "--set", "size=800", cwd=tmp_path, python=python)
    assert (o["verdict"], o["version"]) == ("pass", 1)


def test_the_script_is_installed(python):
    script = Path(python).with_name("slipway")
    assert subprocess.check_output([script, "--version"], text=True).strip() == "0.1.0"
