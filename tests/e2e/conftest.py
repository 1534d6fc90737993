"""A cluster with the platform in it, installed and removed by what a person calls. What failed is kept below .cache/e2e."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.helpers.kubectl import get, keep, kubectl, reachable

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".cache/e2e"
INSTALL_S = 1200
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}


@dataclass(frozen=True, slots=True)
class Platform:
    """Where the platform is, and a team of it."""

    namespace: str
    team: str
    """Name of the team, and of its namespace."""
    images: dict[str, str]
    """Our images by their short names, as pods name them."""
    values: Path
    """Values file that it was installed with."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Let fixtures know how a test ended."""
    report = yield
    if report.failed:
        item.session.stash.setdefault(FAILED, []).append(item.name)
    return report


FAILED = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def cluster() -> None:
    """The cluster of the current kubeconfig; without one, the tests here are skipped."""
    if not reachable():
        pytest.skip("no cluster: the kubeconfig names none that answers")


@pytest.fixture
def namespace(cluster, request) -> Iterator[str]:
    """A namespace of the test's own, Pod Security `restricted`."""
    name = f"e2e-{secrets.token_hex(3)}"
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, *(f"{k}={v}" for k, v in RESTRICTED.items()))
    failed = len(request.session.stash.get(FAILED, []))
    try:
        yield name
    finally:
        if len(request.session.stash.get(FAILED, [])) > failed:
            keep(name, KEPT / request.node.name / name)
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def platform(cluster, request, tmp_path_factory) -> Iterator[Platform]:
    """The platform with one team, from nothing; afterwards removed, and nothing of it may be left."""
    lock = ROOT / "manifests/images.lock.yaml"
    if not lock.exists():
        pytest.skip("no images: make images images-load")
    team = f"e2e-{secrets.token_hex(3)}"
    values = tmp_path_factory.mktemp("values") / "platform.yaml"
    models = [*MODELS.values()]
    values.write_text(yaml.safe_dump({"teams": {team: {"models": models}}}), encoding="utf-8")
    images = {
        name: f"{image['repository']}:{image['tag']}" for name, image in yaml.safe_load(lock.read_text())["images"].items()
    }
    before = owned()
    script("install", "--overlay", os.environ.get("SLIPWAY_OVERLAY", "base"), "--values", str(values),
           "--without", "kubeflow-pipelines")  # fmt: skip
    found = Platform("slipway", team, images, values)
    try:
        yield found
    finally:
        if request.session.stash.get(FAILED, []):
            for name in (found.namespace, team):
                keep(name, KEPT / "platform" / name)
        script("remove")
        assert owned() <= before, f"left behind: {sorted(owned() - before)}"


MODELS = {"cv": "cv-digits", "defect": "defect-steel", "nlp": "nlp-reviews"}
"""Family -> what its quick preset's model is called."""


def script(*arguments: str) -> str:
    """What `make cluster-install` and `make cluster-remove` call."""
    command = [sys.executable, str(ROOT / "scripts/cluster.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def owned() -> set[str]:
    """Every object of a kind that the platform makes, outside of other people's namespaces, by kind and name."""
    kinds = "namespaces,clusterroles,clusterrolebindings,persistentvolumes,priorityclasses"
    listed = get("default", kinds, "-l", "app.kubernetes.io/part-of=slipway")
    return {f"{item['kind']}/{item['metadata']['name']}" for item in listed["items"]}
