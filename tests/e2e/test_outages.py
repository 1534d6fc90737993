"""What is killed, away or full comes back or says so in a line, and takes nothing with it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from slipway.errors import StoreError
from slipway.store import files
from slipway.store.s3 import S3Store
from tests.e2e.conftest import image, install
from tests.e2e.served import LOOK_S, MODELS, READY_S, asked, example, fetched, host, job, load, lost, team_job, upgrade_models
from tests.helpers.bundles import make_bundle, make_release
from tests.helpers.kube_objects import obj
from tests.helpers.kubectl import apply, forwarded, get, kubectl, wait
from tests.helpers.minio_pod import BUCKET, KEYS, minio
from tests.helpers.servers import wait_until

pytestmark = pytest.mark.e2e
SMALL = "96Mi"
"""Of a store that fills up: its own books take most of it."""
JUNK = bytes(4 << 20)


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


def test_mlflow_killed_and_the_store_away_take_no_answer_and_no_model_with_them(platform, served, rest, tmp_path):
    space = ("-n", platform.namespace)
    kubectl(*space, "delete", "pod", "-l", "app.kubernetes.io/component=mlflow", "--grace-period=0", "--force")
    kubectl(*space, "scale", "statefulset/slipway-minio", "--replicas=0")
    kubectl(*space, "wait", "pod/slipway-minio-0", "--for=delete", f"--timeout={READY_S}s")
    asked(rest, platform, "cv")
    done, said = team_job(platform, "run", "nlp")
    assert not done
    assert "slipway-minio" in said.splitlines()[-1], said[-3000:]
    assert "unreachable" in said.splitlines()[-1], said[-3000:]
    kubectl(*space, "scale", "statefulset/slipway-minio", "--replicas=1")
    for what in ("statefulset/slipway-minio", "deployment/slipway-mlflow"):
        kubectl(*space, "rollout", "status", what, f"--timeout={READY_S}s")
    command = ["kubectl", "-n", platform.team, "exec", "deploy/models-follower", "--", "slipway", "models"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=READY_S)
    assert listed.returncode == 0, listed.stderr
    for name in MODELS.values():
        assert name in listed.stdout
        files.verify(fetched(platform, name, tmp_path / name))


def test_a_full_store_says_so_keeps_what_it_has_and_takes_more_once_there_is_room(namespace, tmp_path):
    apply(*minio(namespace, image("minio"), size=SMALL))
    wait(namespace, "pod/minio", "condition=Ready")
    first, second = (make_release(make_bundle(f, tmp_path / f), tmp_path / f"release-{f}") for f in ("cv", "defect"))
    with small_store(namespace) as store:
        store._client.make_bucket(BUCKET)
        store.put_dir(first, "models/first")
        with pytest.raises(StoreError):  # what it says is seen below: the full server ends the forwarded port as well
            fill(store)
    told = {"SLIPWAY_STORE": store.uri, "AWS_ENDPOINT_URL": f"http://minio.{namespace}.svc:9000",
            "AWS_ACCESS_KEY_ID": KEYS[0], "AWS_SECRET_ACCESS_KEY": KEYS[1]}  # fmt: skip
    apply(obj("ConfigMap", "told", namespace=namespace, data=told))
    done, said = job(namespace, image("train"), "run", "cv", env_from=[{"configMapRef": {"name": "told"}}])
    assert not done
    assert "full" in said.splitlines()[-1], said[-3000:]
    with small_store(namespace) as store:
        assert files.verify(store.get_dir("models/first", tmp_path / "first")) == files.read_manifest(first)
        store.delete("junk")
        store.put_dir(second, "models/second")
        assert files.verify(store.get_dir("models/second", tmp_path / "second")) == files.read_manifest(second)


@contextmanager
def small_store(namespace: str) -> Iterator[S3Store]:
    """The namespace's own, through a port of this machine."""
    with forwarded(namespace, "service/minio", 9000) as address:
        yield S3Store(BUCKET, "teams/a", endpoint=f"http://{address}", credentials=KEYS, retry_s=1)


def fill(store: S3Store) -> None:
    """Raises: StoreError: as soon as it is full."""
    for number in range(100):
        store.put_bytes(f"junk/{number}", JUNK)


def test_an_upgrade_of_both_charts_loses_no_request(platform, served, rest, tmp_path):
    """Of the platform: MLflow starts anew. Of the models: every server is replaced."""
    changed = tmp_path / "changed.yaml"
    changed.write_text("mlflow: {resources: {limits: {memory: 1600Mi}}}\n", encoding="utf-8")
    larger = {**served, "follow": [{**model, "memory": "640Mi"} for model in served["follow"]]}
    with load(rest, platform, "cv") as answers:
        install(platform, str(changed))
        upgrade_models(platform, larger)
        for name in MODELS.values():
            wait_until(lambda name=name: memory_of(platform, name) == {"640Mi"}, f"{name} to be replaced", READY_S, LOOK_S)
    assert not lost(answers), (len(lost(answers)), len(answers), lost(answers)[:3])


def memory_of(platform, model: str) -> set[str]:
    """Limits of the model's pods."""
    pods = get(platform.team, "pods", "-l", f"app=isvc.{model}-predictor")["items"]
    return {
        c["resources"]["limits"]["memory"] for pod in pods for c in pod["spec"]["containers"] if c["name"] == "kserve-container"
    }
