"""What the tests do with a platform and its models, as its users do: train in a pod, ask through the gateway, roll out."""

import contextlib
import json
import secrets
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import yaml

from slipway.deploy.pod import RUN_ACCOUNT, RUN_CONFIG, STORE_SECRET, container_security, pod_security
from slipway.store.s3 import S3Store
from tests.helpers.kubectl import apply, forwarded, get, kubectl, secret
from tests.helpers.servers import wait_until

ROOT = Path(__file__).parents[2]
MODELS = {"cv": "cv-digits", "defect": "defect-steel", "nlp": "nlp-reviews"}
"""Family -> what its quick preset's model is called."""
EXAMPLES = ROOT / "serving/examples"
DOMAIN = "models.example.com"
RUN_S = 1500
"""A quick pipeline on a node that has two cores and other things to do."""
READY_S = 600
LOOK_S = 2.0
"""Between two looks at the cluster: each is a process."""
ENDS = {"Complete", "Failed"}
"""Conditions of a Job that is over."""


def run_job(platform, family: str, *arguments: str) -> dict:
    """`slipway run FAMILY` in a pod of the team, the same image and steps as a pipeline's; its outcome as JSON."""
    done, said = team_job(platform, "run", family, "--preset", "quick", "--json", *arguments)
    assert done, said[-3000:]
    return json.loads(said.splitlines()[-1])


def team_job(platform, *command: str) -> tuple[bool, str]:
    """See `job`; the pod is told what the team's pipelines are told."""
    told = [{"configMapRef": {"name": RUN_CONFIG}}, {"secretRef": {"name": STORE_SECRET}}]
    return job(platform.team, platform.images["train"], *command, env_from=told, account=RUN_ACCOUNT)


def job(namespace: str, image: str, *command: str, env_from: list[dict], account: str = "default") -> tuple[bool, str]:
    """`slipway COMMAND` in a pod that Pod Security `restricted` admits: whether it ended well, and its log."""
    name = f"{command[0]}-{secrets.token_hex(3)}"
    container = {
        "name": "slipway",
        "image": image,
        "command": ["slipway", *command],
        "envFrom": env_from,
        "resources": {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "4Gi"}},
        "securityContext": {**container_security(), "readOnlyRootFilesystem": True},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    pod = {
        "restartPolicy": "Never",
        "serviceAccountName": account,
        "automountServiceAccountToken": account != "default",
        "enableServiceLinks": False,
        "securityContext": pod_security(),
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    apply({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"backoffLimit": 0, "activeDeadlineSeconds": RUN_S, "template": {"spec": pod}},
    })  # fmt: skip
    ended = lambda: {c["type"] for c in get(namespace, "job", name)["status"].get("conditions", [])} & ENDS  # noqa: E731
    wait_until(ended, f"job {name} to end", RUN_S, LOOK_S)
    return get(namespace, "job", name)["status"].get("succeeded") == 1, kubectl("-n", namespace, "logs", f"job/{name}")


def upgrade_models(platform, values: dict) -> None:
    """The chart of the team's models with these values, until everything is ready."""
    command = ["helm", "upgrade", "--install", "models", str(ROOT / "charts/slipway-models"), "-n", platform.team]
    command += ["-f", str(ROOT / "manifests/images.lock.yaml"), "-f", "-", "--wait", f"--timeout={READY_S}s"]
    done = subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, timeout=2 * READY_S)
    assert done.returncode == 0, done.stderr


def host(platform, model: str) -> dict[str, str]:
    """What the gateway knows the model by."""
    return {"Host": f"{model}.{platform.team}.{DOMAIN}"}


def example(family: str) -> dict:
    """A request of the family, as the repository shows it."""
    return json.loads((EXAMPLES / f"{family}.json").read_text(encoding="utf-8"))


def asked(rest: httpx.Client, platform, family: str) -> dict:
    """The answer to the family's example, which must come."""
    path = f"/v2/models/{MODELS[family]}/infer"
    answer = rest.post(path, json=example(family), headers=host(platform, MODELS[family]))
    assert answer.status_code == 200, answer.text
    return answer.json()


def outputs(answer: dict, name: str) -> list:
    """Data of one output of an answer."""
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


@contextlib.contextmanager
def everything(platform) -> Iterator[S3Store]:
    """The whole bucket of the platform, by its root credential."""
    keys = secret(platform.namespace, "slipway-minio-root")
    with forwarded(platform.namespace, "service/slipway-minio", 9000) as address:
        yield S3Store("slipway", endpoint=f"http://{address}", credentials=(keys["rootUser"], keys["rootPassword"]))


def fetched(platform, model: str, folder: Path) -> Path:
    """The release that a model serves, out of the cluster's store, every sum checked."""
    release = kubectl("-n", platform.team, "get", "isvc", model, "-o", "jsonpath={.spec.predictor.model.storageUri}")
    with everything(platform) as store:
        return store.get_dir(release.removeprefix(f"{store.uri}/"), folder)
