"""From nothing to a served model that is replaced, broken and removed: what the README promises of a cluster."""

import base64
import contextlib
import json
import math
import os
import secrets
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import yaml

from slipway import bundle
from slipway.protocol.messages import SERVICE, message
from slipway.store.uri import fetch
from tests.e2e.conftest import MODELS, ROOT, script
from tests.helpers.kubectl import apply, forwarded, get, kubectl, wait
from tests.helpers.servers import wait_until

pytestmark = pytest.mark.e2e
RUN_S = 1500
"""A quick pipeline on a node that has two cores and other things to do."""
READY_S = 600
LOOK_S = 2.0
"""Between two looks at the cluster: each is a process."""
GATEWAY = ("kserve", "kserve-ingress-gateway")
EXAMPLES = ROOT / "serving/examples"
DOMAIN = "models.example.com"
REQUESTS = 600
"""Over which a canary's share is counted."""
Z = 3.29
"""Two-sided 99.9 % of a normal distribution."""
TOLERANCE = 1e-5
"""Between probabilities of one engine on machines of one make."""


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
    wait_until(ended, f"job {name} to end", RUN_S, LOOK_S)
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


def upgrade_models(platform, values: dict) -> None:
    command = ["helm", "upgrade", "--install", "models", str(ROOT / "charts/slipway-models"), "-n", platform.team]
    command += ["-f", str(ROOT / "manifests/images.lock.yaml"), "-f", "-", "--wait", f"--timeout={READY_S}s"]
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


@pytest.fixture(scope="module")
def rest(gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{gateway}", timeout=60, trust_env=False) as client:
        yield client


def host(platform, model: str) -> dict[str, str]:
    return {"Host": f"{model}.{platform.team}.{DOMAIN}"}


def example(family: str) -> dict:
    return json.loads((EXAMPLES / f"{family}.json").read_text(encoding="utf-8"))


def asked(rest: httpx.Client, platform, family: str) -> dict:
    """The answer to the family's example, which must come."""
    path = f"/v2/models/{MODELS[family]}/infer"
    answer = rest.post(path, json=example(family), headers=host(platform, MODELS[family]))
    assert answer.status_code == 200, answer.text
    return answer.json()


def outputs(answer: dict, name: str) -> list:
    return next(output["data"] for output in answer["outputs"] if output["name"] == name)


def rollout(platform, *arguments: str, code: int = 0) -> str:
    """`slipway rollout ARGUMENTS` with the rights of the follower, which has them."""
    command = ["kubectl", "-n", platform.team, "exec", "deploy/models-follower", "--", "slipway", "rollout", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * READY_S)
    assert done.returncode == code, done.stderr
    return done.stdout


@contextlib.contextmanager
def load(rest: httpx.Client, platform, family: str) -> Iterator[list[httpx.Response | Exception]]:
    """Requests one after another, by two clients, while the block lasts; what came back."""
    answers: list[httpx.Response | Exception] = []
    over = threading.Event()
    path, sent, headers = f"/v2/models/{MODELS[family]}/infer", example(family), host(platform, MODELS[family])

    def ask() -> None:
        while not over.is_set():
            try:
                answers.append(rest.post(path, json=sent, headers=headers))
            except httpx.HTTPError as exc:
                answers.append(exc)

    clients = [threading.Thread(target=ask) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        yield answers
    finally:
        over.set()
        for client in clients:
            client.join()


def lost(answers: list[httpx.Response | Exception]) -> list[str]:
    """Those that were not answered as they should."""
    return [
        repr(answer) if isinstance(answer, Exception) else f"{answer.status_code} {answer.text[:200]}"
        for answer in answers
        if isinstance(answer, Exception) or answer.status_code != 200
    ]


@pytest.mark.parametrize("family", MODELS)
def test_a_champion_answers_over_rest_and_grpc_as_its_bundle_does(platform, rest, gateway, family, tmp_path, monkeypatch):
    model = MODELS[family]
    said = asked(rest, platform, family)
    by_rest = np.reshape(outputs(said, "probabilities"), (len(outputs(said, "label")), -1))
    channel = grpc.insecure_channel(gateway, options=[("grpc.default_authority", host(platform, model)["Host"])])
    with channel:
        infer = channel.unary_unary(
            f"/{SERVICE}/ModelInfer", request_serializer=None, response_deserializer=message("ModelInferResponse").FromString
        )
        request = message("ModelInferRequest")(model_name=model)
        tensor = example(family)["inputs"][0]
        items = [v.encode() if family == "nlp" else base64.b64decode(v) for v in tensor["data"]]
        sent = request.inputs.add(name=tensor["name"], datatype="BYTES", shape=tensor["shape"])
        sent.contents.bytes_contents.extend(items)
        answer = infer(request.SerializeToString(), timeout=60)
    found = next(output for output in answer.outputs if output.name == "probabilities")
    by_grpc = np.reshape(found.contents.fp32_contents, by_rest.shape)
    np.testing.assert_allclose(by_grpc, by_rest, atol=TOLERANCE)
    release = kubectl("-n", platform.team, "get", "isvc", model, "-o", "jsonpath={.spec.predictor.model.storageUri}")
    local = fetched(platform, release, tmp_path, monkeypatch)
    np.testing.assert_allclose(bundle.load(local).predict(items), by_rest, atol=TOLERANCE)


def test_prometheus_has_the_latency_of_every_model(platform, rest):
    for family in MODELS:
        asked(rest, platform, family)
    space, _, service = os.environ.get("SLIPWAY_PROMETHEUS", "monitoring/prometheus-operated").partition("/")
    with forwarded(space, f"service/{service}", 9090) as address, httpx.Client(base_url=f"http://{address}") as prometheus:
        query = f'sum by (model) (inference_request_duration_seconds_count{{namespace="{platform.team}"}})'

        def models() -> set[str]:
            found = prometheus.get("/api/v1/query", params={"query": query}).json()["data"]["result"]
            return {series["metric"]["model"] for series in found if float(series["value"][1]) > 0}

        wait_until(lambda: models() >= set(MODELS.values()), "Prometheus to have scraped every model", 180, LOOK_S)


def test_a_canary_gets_its_share_is_promoted_under_load_and_another_is_aborted(platform, rest):
    model = MODELS["nlp"]
    before = asked(rest, platform, "nlp")["model_version"]
    second = run_job(platform, "nlp", "--set", "seed=1", "--set", "promote=false")["version"]
    rollout(platform, "start", model, str(second), "--weight", "20")
    versions = [asked(rest, platform, "nlp")["model_version"] for _ in range(REQUESTS)]
    share = versions.count(str(second)) / REQUESTS
    assert set(versions) == {before, str(second)}
    assert abs(share - 0.2) <= Z * math.sqrt(0.2 * 0.8 / REQUESTS), share
    with load(rest, platform, "nlp") as answers:
        rollout(platform, "promote", model)
    assert not lost(answers), (len(lost(answers)), len(answers), lost(answers)[:3])
    assert {asked(rest, platform, "nlp")["model_version"] for _ in range(20)} == {str(second)}
    rollout(platform, "start", model, before, "--weight", "50")
    with load(rest, platform, "nlp") as answers:
        rollout(platform, "abort", model)
    assert not lost(answers), lost(answers)[:3]
    assert {asked(rest, platform, "nlp")["model_version"] for _ in range(20)} == {str(second)}


def test_a_killed_predictor_comes_back_by_itself(platform, rest):
    selector = ("pods", "-l", f"app=isvc.{MODELS['cv']}-predictor")
    killed = get(platform.team, *selector)["items"][0]["metadata"]["name"]
    kubectl("-n", platform.team, "delete", "pod", killed, "--grace-period=0", "--force")

    def another_is_ready() -> bool:
        pods = [pod for pod in get(platform.team, *selector)["items"] if pod["metadata"]["name"] != killed]
        conditions = [c for pod in pods for c in pod["status"].get("conditions", [])]
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def answered() -> bool:  # the gateway hears of it a moment later
        sent = {"json": example("cv"), "headers": host(platform, MODELS["cv"])}
        return rest.post(f"/v2/models/{MODELS['cv']}/infer", **sent).status_code == 200

    wait_until(another_is_ready, "another pod to be ready", READY_S, LOOK_S)
    wait_until(answered, "it to answer", READY_S, LOOK_S)


def test_mlflow_killed_and_the_store_away_take_no_answer_and_no_run_with_them(platform, rest, champions):
    kubectl(
        "-n", platform.namespace, "delete", "pod", "-l", "app.kubernetes.io/component=mlflow", "--grace-period=0", "--force"
    )
    kubectl("-n", platform.namespace, "scale", "statefulset/slipway-minio", "--replicas=0")
    asked(rest, platform, "cv")
    kubectl("-n", platform.namespace, "scale", "statefulset/slipway-minio", "--replicas=1")
    kubectl("-n", platform.namespace, "rollout", "status", "statefulset/slipway-minio", f"--timeout={READY_S}s")
    kubectl("-n", platform.namespace, "rollout", "status", "deployment/slipway-mlflow", f"--timeout={READY_S}s")
    command = ["kubectl", "-n", platform.team, "exec", "deploy/models-follower", "--", "slipway", "models"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=READY_S)
    assert listed.returncode == 0, listed.stderr
    assert all(name in listed.stdout for name in MODELS.values()), listed.stdout


def test_an_upgrade_of_both_charts_loses_no_request(platform, served, rest):
    with load(rest, platform, "cv") as answers:
        upgrade_models(platform, served)
        script("install", "--overlay", os.environ.get("SLIPWAY_OVERLAY", "base"), "--values", str(platform.values),
               "--without", "kubeflow-pipelines")  # fmt: skip
    assert not lost(answers), lost(answers)[:3]


def fetched(platform, release: str, folder: Path, monkeypatch) -> Path:
    """A release, out of the cluster's store, with the platform's own credential."""
    secret = get(platform.namespace, "secret", "slipway-minio-root")["data"]
    with forwarded(platform.namespace, "service/slipway-minio", 9000) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{address}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", base64.b64decode(secret["rootUser"]).decode())
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", base64.b64decode(secret["rootPassword"]).decode())
        return fetch(release, folder)
