"""Pipelines on the Kubeflow Pipelines of the current cluster: its own API, pods, store and MLflow.

KFP's namespace becomes a team of the platform (README, "On Kubeflow Pipelines"). SLIPWAY_KFP_HOST names another API than the
Service ml-pipeline; SLIPWAY_TRAIN_IMAGE another image than that of manifests/images.lock.yaml.
"""

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient

from slipway import settings as settings_
from slipway.deploy.pod import container_security, pod_security
from slipway.runs import record
from slipway.store.uri import Store, open_store
from slipway.tracking import registry
from tests.e2e.conftest import KFP as NAMESPACE
from tests.e2e.conftest import kfp_service
from tests.e2e.served import LOOK_S, MODELS, READY_S, ROOT, RUN_S
from tests.helpers.command import slipway
from tests.helpers.kubectl import apply, extended, forwarded, get, kubectl, labelled, secret
from tests.helpers.servers import wait_until

pytestmark = pytest.mark.e2e
STEPS = ["prepare_data", "train", "export_onnx", "evaluate", "gate", "register_model", "deploy_model"]
THREADS = "2"
"""What `pipelines.resources` gives the steps whose bits depend on it."""
DIGESTS = {"prepare_data": "dataset", "train": "checkpoint", "export_onnx": "bundle"}
"""Step -> its output that a seed determines."""
SCHEDULED_S = 300
LONG_EPOCHS = 60
"""Of a training that does not end before the store is gone: each takes half a second or so."""
OUTAGE_S = 600
"""For a step to notice that the store is away: it tries for a while."""


@dataclass(frozen=True, slots=True)
class Kfp:
    """KFP, as a person at a laptop reaches it."""

    api: httpx.Client
    store: Store
    environment: dict[str, str]
    """Of `slipway` commands."""


@pytest.fixture(scope="module")
def kfp(cluster, request) -> Iterator[Kfp]:
    """KFP's API and the team's store, the environment set for `slipway` commands."""
    service = kfp_service()
    if not service and not os.environ.get("SLIPWAY_KFP_HOST"):
        pytest.skip(f"no KFP API: SLIPWAY_KFP_HOST is not set, and {NAMESPACE} has no Service ml-pipeline")
    request.getfixturevalue("platform")  # only now: a skip installs nothing
    told = get(NAMESPACE, "configmap", "slipway-run")["data"]
    keys = secret(NAMESPACE, "slipway-store")
    minio = httpx.URL(told["AWS_ENDPOINT_URL"])
    tracking = httpx.URL(told["MLFLOW_TRACKING_URI"])
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:

        def reached(url: httpx.URL) -> str:
            name, space = url.host.split(".")[:2]
            return f"http://{stack.enter_context(forwarded(space, f'service/{name}', url.port))}"

        host = os.environ.get("SLIPWAY_KFP_HOST") or f"http://{stack.enter_context(forwarded(NAMESPACE, service, 8888))}"
        environment = {
            "SLIPWAY_KFP_HOST": host,
            "SLIPWAY_STORE": told["SLIPWAY_STORE"],
            "AWS_ENDPOINT_URL": reached(minio),
            "MLFLOW_TRACKING_URI": reached(tracking),
            "SLIPWAY_THREADS": THREADS,
            **keys,
        }
        if not os.environ.get("SLIPWAY_TRAIN_IMAGE"):
            environment["SLIPWAY_IMAGES"] = str(ROOT / "manifests/images.lock.yaml")
        for name, value in environment.items():
            patch.setenv(name, value)
        store = open_store(told["SLIPWAY_STORE"])
        with httpx.Client(base_url=host, timeout=30, trust_env=False) as api:
            yield Kfp(api, store, environment)
        # The registry is the whole platform's: another team's pipeline of the same name would ask for this team's champion
        models = MlflowClient(tracking_uri=environment["MLFLOW_TRACKING_URI"])
        for model in models.search_registered_models():
            models.delete_registered_model(model.name)


@pytest.fixture(autouse=True)
def told_of_kfp(home, kfp, monkeypatch):
    """A test of its own home knows KFP all the same."""
    for name, value in kfp.environment.items():
        monkeypatch.setenv(name, value)


def run(tmp_path, *arguments: str, code: int = 0) -> tuple[dict, str]:
    """`slipway run ARGUMENTS --on kfp`: its outcome as JSON (empty when there is none), and what it said."""
    done = slipway("run", *arguments, "--on", "kfp", "--json", cwd=tmp_path, deadline_s=RUN_S)
    assert done.returncode == code, done.stderr
    return (json.loads(done.stdout) if done.stdout.strip() else {}), done.stderr


def submitted(said: str) -> str:
    """KFP's id of the run, from what `slipway run` said."""
    return said.partition("#/runs/details/")[2].split()[0]


def nodes(kfp: Kfp, run_id: str) -> dict[str, str]:
    """Task -> how it ended."""
    details = kfp.api.get(f"/apis/v2beta1/runs/{run_id}").raise_for_status().json()["run_details"]["task_details"]
    return {task["display_name"]: task["state"] for task in details}


@pytest.fixture(scope="module", params=MODELS)
def passed(kfp, request, tmp_path_factory):
    """Family and outcome of a quick run that the gate lets through."""
    outcome, _ = run(tmp_path_factory.mktemp(request.param), request.param, "--preset", "quick")
    return request.param, outcome


def test_a_family_goes_from_raw_data_to_a_release(kfp, passed):
    family, outcome = passed
    assert (outcome["verdict"], outcome["model"]) == ("pass", MODELS[family])
    steps = record.read(kfp.store, outcome["run"])
    assert list(steps) == STEPS
    assert {step["status"] for step in steps.values()} == {"succeeded"}
    assert kfp.store.exists(f"models/{outcome['model']}/{outcome['digest']}")
    assert registry.champion(outcome["model"]).release_digest == outcome["digest"]


def test_the_gates_branch_is_in_the_graph(kfp, passed):
    states = nodes(kfp, passed[1]["run"])
    assert states["register-model"] == "SUCCEEDED"
    assert states.get("refuse") in (None, "SKIPPED")
    assert any(state == "SKIPPED" for name, state in states.items() if name.startswith("condition"))


def test_artifacts_and_logs_are_in_the_teams_store(kfp, passed):
    family, outcome = passed
    below = f"kfp/slipway-{family}/{outcome['run']}"
    held = kfp.store.keys(below)
    for task, name in {
        "evaluate": "scores",
        "gate": "report",
        "export-onnx": "bundle",
        f"train-{family}": "executor-logs-0",
    }.items():
        assert [k for k in held if k.startswith(f"{below}/{task}/") and k.split("/")[5].startswith(name)], (task, name)


def test_the_run_is_in_mlflow_with_its_numbers(kfp, passed):
    from mlflow import MlflowClient

    _, outcome = passed
    client = MlflowClient(tracking_uri=settings_.load().tracking_uri)
    experiment = client.get_experiment_by_name("slipway")
    found = client.search_runs([experiment.experiment_id], f"tags.`slipway.run_id` = '{outcome['run']}'")
    metrics = {name for entry in found for name in entry.data.metrics}
    assert {"test_accuracy", "val_accuracy"} <= metrics
    assert {entry.info.status for entry in found} == {"FINISHED"}
    if len(found) > 1:  # KFP's plugin gave each task a run; it fills in what the step put into its artifact `metrics`
        assert "balanced_accuracy" in metrics


def test_the_pods_comply_with_restricted_pod_security(kfp, passed):
    """The namespace would take them if it enforced it; each that runs a step ends after its time."""
    pods = pods_of(passed[1]["run"])
    assert pods
    command = (
        "label",
        "--dry-run=server",
        "--overwrite",
        "namespace",
        NAMESPACE,
        "pod-security.kubernetes.io/enforce=restricted",
    )
    warned = subprocess.run(["kubectl", *command], capture_output=True, text=True, timeout=60).stderr
    assert not [pod["metadata"]["name"] for pod in pods if pod["metadata"]["name"] in warned]
    assert all(pod["spec"]["activeDeadlineSeconds"] > 0 for pod in pods)


def test_a_seed_gives_the_same_bits_as_the_local_runner(kfp, passed):
    """In the same image on the same node: digests of data, checkpoint and bundle."""
    family, outcome = passed
    remote = record.read(kfp.store, outcome["run"])
    (main,) = (c for c in pods_of(outcome["run"])[0]["spec"]["containers"] if c["name"] == "main")
    local = run_locally(family, image=main["image"])
    for step, output in DIGESTS.items():
        assert local[step]["outputs"][output] == remote[step]["outputs"][output], step


def run_locally(family: str, *, image: str) -> dict[str, dict]:
    """The record of `slipway run FAMILY` in a pod, with nothing but a folder of its own."""
    name = f"local-{family}-{secrets.token_hex(2)}"
    id_ = "import json, sys; print(json.load(sys.stdin)['run'])"
    script = f'id=$(slipway run {family} --preset quick --json | python -c "{id_}") && slipway show "$id" --json'
    container = {
        "name": "run",
        "image": image,
        "command": ["sh", "-c", script],
        "env": [{"name": name, "value": THREADS} for name in ("SLIPWAY_THREADS", "OMP_NUM_THREADS")],
        "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
        "securityContext": container_security(),
    }
    spec = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "containers": [container],
    }
    apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
    try:
        over = lambda: get(NAMESPACE, "pod", name)["status"]["phase"] in ("Succeeded", "Failed")  # noqa: E731
        wait_until(over, f"pod {name} to end", RUN_S)
        said = kubectl("-n", NAMESPACE, "logs", name)
        assert get(NAMESPACE, "pod", name)["status"]["phase"] == "Succeeded", said[-3000:]
        return json.loads(said.splitlines()[-1])
    finally:
        kubectl("-n", NAMESPACE, "delete", "pod", name, "--wait=false")


def pods_of(run_id: str) -> list[dict]:
    """The pods that ran the steps; KFP keeps them for a while."""
    pods = get(NAMESPACE, "pods", "-l", f"pipeline/runid={run_id}")["items"]
    return [pod for pod in pods if "-impl-" in pod["metadata"]["name"]]


def test_a_refused_model_ends_as_refused(kfp, tmp_path):
    outcome, said = run(tmp_path, "nlp", "--preset", "quick", "--set", "min_accuracy=0.999", "--name", "e2e-refused", code=3)
    assert outcome["verdict"] == "fail"
    states = nodes(kfp, submitted(said))
    assert states["refuse"] == "FAILED"
    assert "register-model" not in states or states["register-model"] == "SKIPPED"


def test_a_step_that_fails_is_tried_again_and_says_why(kfp, tmp_path):
    """Its reason comes to whoever waits, and to `slipway show`, without kubectl."""
    _, said = run(tmp_path, "nlp", "--preset", "quick", "--data", "s3://no-such-bucket/raw/none", code=1)
    assert "no-such-bucket" in said.splitlines()[-1]
    shown = slipway("show", submitted(said), cwd=tmp_path)
    assert "prepare_data: failed" in shown.stdout
    assert "no-such-bucket" in shown.stdout
    (step,) = record.read(kfp.store, submitted(said)).values()
    assert step["attempt"] == 3, "the table gives it two retries"


def test_an_image_that_is_not_there_is_told_while_it_is_waited_for(kfp, tmp_path, monkeypatch):
    from slipway.errors import ClusterError
    from slipway.runs import cluster
    from slipway.runs.parameters import resolve
    from tests.helpers.progress import Told

    monkeypatch.setenv("SLIPWAY_TRAIN_IMAGE", "registry.invalid/slipway-train:9.9.9")
    monkeypatch.setattr(cluster, "WAITING_S", 1.0)
    told = Told()
    with pytest.raises(ClusterError, match="terminated"):
        cluster.run("nlp", resolve("nlp", preset="quick", values={}), settings=settings_.load(), progress=told, deadline_s=120)
    assert any("prepare_data waits" in line and "mage" in line for line in told.lines), told.lines


def test_a_schedule_starts_runs_until_it_is_removed(kfp, tmp_path):
    name = f"e2e-{secrets.token_hex(3)}"
    arguments = ("nlp", "--cron", "* * * * *", "--name", name, "--set", "min_accuracy=0.999")
    made = slipway("schedule", *arguments, cwd=tmp_path)
    assert made.returncode == 0, made.stderr

    def started() -> list[dict]:
        runs = kfp.api.get("/apis/v2beta1/runs", params={"page_size": 100, "sort_by": "created_at desc"}).json().get("runs", [])
        return [r for r in runs if r["display_name"].startswith(name)]

    try:
        assert name in slipway("schedule", cwd=tmp_path).stdout
        wait_until(started, "the schedule to start a run", SCHEDULED_S, LOOK_S)
    finally:
        ended = slipway("schedule", "--remove", name, cwd=tmp_path)
        for r in started():
            kfp.api.post(f"/apis/v2beta1/runs/{r['run_id']}:terminate")
    assert ended.returncode == 0, ended.stderr
    assert "call it again" in ended.stdout, "a schedule takes its running workflows with it, so it stays until they end"
    removed = lambda: "removed" in slipway("schedule", "--remove", name, cwd=tmp_path).stdout  # noqa: E731
    wait_until(removed, "its runs to end and the schedule to go", SCHEDULED_S, LOOK_S)
    assert name not in slipway("schedule", cwd=tmp_path).stdout


def test_a_gpu_profile_is_what_the_training_step_waits_for_and_gets(kfp, tmp_path, monkeypatch):
    """To the scheduler a GPU is a number at a node: there is no device behind this one, and the model trained needs none."""
    resource = f"slipway.example/{secrets.token_hex(3)}"
    label = f"{resource}-product"
    table = tmp_path / "profiles.yaml"
    profile = {"resource": resource, "nodes": {label: ["fake"]}, "tolerate": ["slipway.example/rack"], "shared_memory": "256Mi"}
    table.write_text(json.dumps({"fake": profile}), encoding="utf-8")
    monkeypatch.setenv("SLIPWAY_GPU_PROFILES", str(table))
    monkeypatch.setenv("SLIPWAY_GPU", "fake")
    node = get("default", "nodes")["items"][0]["metadata"]["name"]
    with labelled(node, label, "fake"), going(tmp_path, "nlp", "--preset", "quick", "--name", "e2e-gpu") as under_way:
        wait_until(lambda: f"Insufficient {resource}" in under_way.said(), "training to wait for its GPU", RUN_S, LOOK_S)
        assert "train waits" in under_way.said()
        with extended(node, resource):
            outcome = under_way.outcome()
    assert outcome["verdict"] == "pass"
    (trained,) = (pod for pod in pods_of(outcome["run"]) if resource in json.dumps(pod["spec"]["containers"]))
    (main,) = (c for c in trained["spec"]["containers"] if c["name"] == "main")
    assert trained["spec"]["nodeName"] == node
    assert main["resources"]["limits"][resource] == "1"
    assert {resource, "slipway.example/gpu", "slipway.example/rack"} <= {t["key"] for t in trained["spec"]["tolerations"]}
    assert "256Mi" in [volume.get("emptyDir", {}).get("sizeLimit") for volume in trained["spec"]["volumes"]]


def test_the_store_away_in_mid_run_costs_attempts_and_no_work(kfp, platform, tmp_path):
    """Data that were prepared are not prepared again, and training goes on from its last epoch."""
    space = ("-n", platform.namespace)
    with going(tmp_path, "cv", "--preset", "quick", "--name", "e2e-outage", "--set", f"epochs={LONG_EPOCHS}") as under_way:
        wait_until(
            lambda: under_way.said() and kfp.store.keys("checkpoints"), "training to keep its first state", RUN_S, LOOK_S
        )
        run_id = submitted(under_way.said())
        before = record.read(kfp.store, run_id)
        kubectl(*space, "scale", "statefulset/slipway-minio", "--replicas=0")
        try:
            ended = lambda: [pod for pod in pods_of(run_id) if pod["status"]["phase"] == "Failed"]  # noqa: E731
            wait_until(ended, "a step to give up", OUTAGE_S, LOOK_S)
        finally:
            kubectl(*space, "scale", "statefulset/slipway-minio", "--replicas=1")
            kubectl(*space, "rollout", "status", "statefulset/slipway-minio", f"--timeout={READY_S}s")
        outcome = under_way.outcome()
    assert outcome["verdict"] == "pass"
    after = record.read(kfp.store, run_id)
    assert after["prepare_data"] == before["prepare_data"]
    assert after["train"]["attempt"] > 1
    assert "continuing after epoch" in log_of(kfp, "cv", run_id, "train-cv")


def log_of(kfp: Kfp, family: str, run_id: str, task: str) -> str:
    """What all attempts of a step printed."""
    held = kfp.store.keys(f"kfp/slipway-{family}/{run_id}/{task}")
    return "\n".join(kfp.store.get_bytes(key).decode() for key in held if "/executor-logs" in key)


@dataclass(frozen=True, slots=True)
class Going:
    """`slipway run`, still waiting for its run."""

    process: subprocess.Popen[str]
    log: Path

    def said(self) -> str:
        """All that it has said so far; while it goes on."""
        said = self.log.read_text(encoding="utf-8")
        assert self.process.poll() is None, said
        return said

    def outcome(self) -> dict:
        """What it prints in the end, which must be good."""
        printed, _ = self.process.communicate(timeout=RUN_S)
        assert self.process.returncode == 0, self.log.read_text(encoding="utf-8")
        return json.loads(printed)


@contextlib.contextmanager
def going(tmp_path: Path, *arguments: str) -> Iterator[Going]:
    """`slipway run ARGUMENTS --on kfp` while the block lasts."""
    log = tmp_path / "said.txt"
    command = [sys.executable, "-c", "from slipway.cli import main; main()", "run", *arguments, "--on", "kfp", "--json"]
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=said, text=True)
    try:
        yield Going(process, log)
    finally:
        process.kill()
        process.communicate()
