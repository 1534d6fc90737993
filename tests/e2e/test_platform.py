"""From nothing to a served model that is replaced, broken and removed: what the README promises of a cluster."""

import json
import secrets

import pytest
import yaml

from tests.e2e.conftest import MODELS, ROOT
from tests.helpers.kubectl import apply, forwarded, get, kubectl, wait
from tests.helpers.servers import wait_until

pytestmark = pytest.mark.e2e
RUN_S = 1500
"""A quick pipeline on a node that has two cores and other things to do."""
READY_S = 600
GATEWAY = ("kserve", "kserve-ingress-gateway")
EXAMPLES = ROOT / "serving/examples"
Z = 3.29
"""Two-sided 99.9 % of a normal distribution."""


def run_job(platform, family: str, *arguments: str) -> dict:
    """`slipway run FAMILY` in a pod of the team, the same image and steps as a pipeline's; its outcome as JSON."""
    name = f"run-{family}-{secrets.token_hex(2)}"
    container = {
        "name": "run",
        "image": platform.images["train"],
        "command": ["slipway", "run", family, "--preset", "quick", "--json", *arguments],
        "envFrom": [{"configMapRef": {"name": "slipway-run"}}, {"secretRef": {"name": "slipway-store"}}],
        "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }  # fmt: skip
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": "slipway-run",
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": platform.team},
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": RUN_S, "template": {"spec": pod}},
    }
    apply(job)
    ended = lambda: get(platform.team, "job", name)["status"].get("conditions")  # noqa: E731
    wait_until(ended, f"job {name} to end", RUN_S)
    said = kubectl("-n", platform.team, "logs", f"job/{name}")
    assert get(platform.team, "job", name)["status"].get("succeeded") == 1, said[-3000:]
    return json.loads(said.splitlines()[-1])


@pytest.fixture(scope="module")
def champions(platform) -> dict[str, dict]:
    """Outcomes of the three pipelines: their models are champions."""
    return {family: run_job(platform, family) for family in MODELS}


@pytest.fixture(scope="module")
def served(platform, champions):
    """The three champions as InferenceServices, brought up by the chart's follower."""
    values = {
        "follow": [{"name": name} for name in MODELS.values()],
        "gateway": {"namespace": GATEWAY[0], "name": GATEWAY[1], "domain": "models.example.com"},
    }
    upgrade_models(platform, values)
    for name in MODELS.values():
        made = lambda name=name: kubectl("-n", platform.team, "get", "isvc", name, "--ignore-not-found")  # noqa: E731
        wait_until(made, f"the follower to make {name}", READY_S)
        wait(platform.team, f"isvc/{name}", "condition=Ready", READY_S)
    return values


def upgrade_models(platform, values: dict) -> None:
    command = ["helm", "upgrade", "--install", "models", str(ROOT / "charts/slipway-models"), "-n", platform.team]
    command += ["-f", str(ROOT / "manifests/images.lock.yaml"), "-f", "-", "--wait", f"--timeout={READY_S}s"]
    import subprocess

    done = subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, timeout=2 * READY_S)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def gateway(served):
    """`127.0.0.1:PORT` of the gateway's proxy."""
    labels = (
        f"gateway.envoyproxy.io/owning-gateway-name={GATEWAY[1]},gateway.envoyproxy.io/owning-gateway-namespace={GATEWAY[0]}"
    )
    found = json.loads(kubectl("get", "services", "-A", "-l", labels, "-o", "json"))["items"]
    assert found, f"no Service of the gateway {'/'.join(GATEWAY)}"
    service = found[0]["metadata"]
    with forwarded(service["namespace"], f"service/{service['name']}", 80) as address:
        yield address


def host(platform, model: str) -> str:
    return f"{model}.{platform.team}.models.example.com"
