"""The server in an environment that has only what requirements-serve.lock lists: no torch, mlflow or kfp."""

import subprocess
import sys
import venv
from pathlib import Path

import httpx
import pytest

from tests.helpers import bundles
from tests.helpers.command import slipway
from tests.helpers.servers import process, ready_line

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
FAMILIES = ("cv", "defect", "nlp")


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> str:
    """Interpreter of such an environment, with the wheel's code."""
    folder = tmp_path_factory.mktemp("serve")
    venv.create(folder / "env", with_pip=False)
    interpreter = str(folder / "env/bin/python")
    pip = [sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements-serve.lock")], check=True, timeout=300)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    subprocess.run([*pip, "--no-index", *map(str, folder.glob("*.whl"))], check=True, timeout=120)
    return interpreter


def test_it_has_no_training_libraries(python):
    for name in ("torch", "mlflow", "kfp", "pandas", "sklearn"):
        assert subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 1, name


def test_releases_of_every_family_are_served_by_path(python, tmp_path):
    releases = {f: bundles.make_release(bundles.make_bundle(f, tmp_path / f), tmp_path / f"{f}-release") for f in FAMILIES}
    arguments = [f"{family}={path}" for family, path in releases.items()]
    with process(*arguments, "--port", "0", python=(python,)) as server:
        port = ready_line(server)["port"]
        body = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good"]}]}
        answer = httpx.post(f"http://127.0.0.1:{port}/v2/models/nlp/infer", json=body, timeout=30)
    assert answer.status_code == 200
    assert [o["name"] for o in answer.json()["outputs"]] == ["probabilities", "label"]


def test_a_model_by_name_says_that_mlflow_is_missing(python, tmp_path):
    done = slipway("serve", "cv-digits", cwd=tmp_path, python=python)
    assert done.returncode == 2
    assert "install slipway[tracking]" in done.stderr
