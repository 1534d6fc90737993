"""A cluster with the platform in it, installed and removed by what a person calls. What failed is kept below .cache/e2e."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e.served import DOMAIN, LOOK_S, MODELS, READY_S, ROOT, run_job, upgrade_models
from tests.helpers.kubectl import forwarded, get, keep, kubectl, reachable, wait
from tests.helpers.servers import wait_until

NAMESPACE = "slipway"
KFP = os.environ.get("SLIPWAY_KFP_NAMESPACE") or "kubeflow"
GATEWAY = ("kserve", "kserve-ingress-gateway")
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


def image(name: str) -> str:
    """One of ours, as `make images` built it; without, the test is skipped."""
    lock = ROOT / "manifests/images.lock.yaml"
    if not lock.exists():
        pytest.skip("no images: make images images-load")
    found = yaml.safe_load(lock.read_text(encoding="utf-8"))["images"][name]
    return f"{found['repository']}:{found['tag']}"


@pytest.fixture(scope="session")
def platform(cluster, request, tmp_path_factory) -> Iterator[Platform]:
    """The platform with one team, and KFP's namespace as another where KFP is; afterwards nothing of it may be left."""
    images = {name: image(name) for name in ("serve", "train", "mlflow", "minio")}
    if kubectl("-n", NAMESPACE, "get", "secrets", "-l", "owner=helm,name=slipway", "-o", "name"):
        pytest.fail(
            f"a platform is in the namespace '{NAMESPACE}' already, and these tests end with its removal; take another cluster"
        )
    team = f"e2e-{secrets.token_hex(3)}"
    teams: dict[str, Any] = {team: {"models": [*MODELS.values()]}}
    if os.environ.get("SLIPWAY_KFP_HOST") or kfp_service():
        teams[KFP] = {"createNamespace": False, "kfp": False, "networkPolicy": False, "quota": {}}
    values = tmp_path_factory.mktemp("values") / "platform.yaml"
    values.write_text(yaml.safe_dump({"teams": teams}), encoding="utf-8")
    before = owned()
    found = Platform(NAMESPACE, team, images, values)
    try:
        install(found)
        yield found
    finally:
        if request.session.stash.get(FAILED, []):
            for name in (found.namespace, team):
                keep(name, KEPT / "platform" / name)
        script("remove")
        assert owned() <= before, f"left behind: {sorted(owned() - before)}"


def kfp_service() -> str:
    """service/NAME of KFP's API; empty where there is none."""
    return kubectl("-n", KFP, "get", "service", "ml-pipeline", "--ignore-not-found", "-o", "name").strip()


def install(platform: Platform, *values: str) -> None:
    """What `make cluster-install` does, or an upgrade; `values`: further files."""
    overlay = os.environ.get("SLIPWAY_OVERLAY", "base")
    files = [word for path in (str(platform.values), *values) for word in ("--values", path)]
    script("install", "--overlay", overlay, *files, "--without", "kubeflow-pipelines")


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


@pytest.fixture(scope="session")
def champions(platform) -> dict[str, dict]:
    """Outcomes of the three pipelines: their models are champions."""
    return {family: run_job(platform, family) for family in MODELS}


@pytest.fixture(scope="session")
def served(platform, champions) -> dict[str, Any]:
    """The three champions as InferenceServices, brought up by the chart's follower; the chart's values."""
    values = {
        "follow": [{"name": name, "cpu": "20m", "memory": "512Mi"} for name in MODELS.values()],
        "gateway": {"namespace": GATEWAY[0], "name": GATEWAY[1], "domain": DOMAIN},
        "follower": {"intervalSeconds": 5},
    }
    upgrade_models(platform, values)
    for name in MODELS.values():
        made = lambda name=name: kubectl("-n", platform.team, "get", "isvc", name, "--ignore-not-found")  # noqa: E731
        wait_until(made, f"the follower to make {name}", READY_S, LOOK_S)
        wait(platform.team, f"isvc/{name}", "condition=Ready", READY_S)
    return values


@pytest.fixture(scope="session")
def gateway(served) -> Iterator[str]:
    """`127.0.0.1:PORT` of the gateway's proxy."""
    of = "gateway.envoyproxy.io/owning-gateway"
    found = json.loads(
        kubectl("get", "services", "-A", "-l", f"{of}-name={GATEWAY[1]},{of}-namespace={GATEWAY[0]}", "-o", "json")
    )["items"]
    assert found, f"no Service of the gateway {'/'.join(GATEWAY)}"
    service = found[0]["metadata"]
    with forwarded(service["namespace"], f"service/{service['name']}", 80) as address:
        yield address


@pytest.fixture(scope="session")
def rest(gateway) -> Iterator[httpx.Client]:
    """A client of the gateway, without retries."""
    with httpx.Client(base_url=f"http://{gateway}", timeout=60, trust_env=False) as client:
        yield client
