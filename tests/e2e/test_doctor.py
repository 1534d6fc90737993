"""`slipway doctor` on a real cluster: each cause is made for real, and found at its link."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from slipway.cli import main
from slipway.deploy.manifest import inference_service
from slipway.store import files
from slipway.store.s3 import S3Store
from tests.e2e.conftest import RESTRICTED, image
from tests.helpers.bundles import make_bundle, make_release
from tests.helpers.helm import pick, template
from tests.helpers.kfp_stub import KfpStub, Run
from tests.helpers.kube_objects import encoded, obj, s3_secret
from tests.helpers.kubectl import apply, forwarded, get, kubectl, wait
from tests.helpers.minio_pod import BUCKET, KEYS, POD, SECURE, minio
from tests.helpers.servers import wait_until

pytestmark = pytest.mark.e2e
FOUND_S = 240
"""For a pod to be scheduled, to fetch its model, to fail and to be started again, on a node with other things to do."""
MODEL = "cv-tiny"
TEAM = "teams/doctor"
GATEWAY = {"name": "kserve-ingress-gateway", "namespace": "kserve"}


@dataclass(frozen=True)
class Shelf:
    """A MinIO in the cluster with one release in it, and copies of it that are broken."""

    url: str
    """As pods reach it."""
    releases: dict[str, str]
    """`good` and what is wrong with the others -> key below TEAM."""
    digest: str
    """Of the good one."""

    def uri(self, release: str = "good") -> str:
        return f"s3://{BUCKET}/{TEAM}/{self.releases[release]}"


@pytest.fixture(scope="module")
def releases(tmp_path_factory) -> dict[str, Path]:
    """A good release, one that was altered after it was written, one that does not answer as it was exported."""
    root = tmp_path_factory.mktemp("releases")
    good = make_release(make_bundle("cv", root / "bundle"), root / "good")
    strange = make_bundle("cv", root / "strange-bundle")
    arrays = dict(np.load(strange / "selftest.npz"))
    expected = next(name for name in arrays if arrays[name].dtype.kind == "f")
    np.savez(strange / "selftest.npz", **{**arrays, expected: arrays[expected][..., ::-1]})
    files.write_manifest(strange)
    return {"good": good, "strange": make_release(strange, root / "strange")}


@pytest.fixture(scope="module")
def shelf(cluster, releases, tmp_path_factory) -> Iterator[Shelf]:
    """See Shelf."""
    namespace = f"e2e-doctor-{secrets.token_hex(3)}"
    kubectl("create", "namespace", namespace)
    kubectl("label", "namespace", namespace, *(f"{k}={v}" for k, v in RESTRICTED.items()))
    try:
        apply(*minio(namespace, image("minio")))
        wait(namespace, "pod/minio", "condition=Ready")
        with forwarded(namespace, "service/minio", 9000) as address:
            store = S3Store(BUCKET, TEAM, endpoint=f"http://{address}", credentials=KEYS)
            store._client.make_bucket(BUCKET)
            keys = {}
            for name, path in releases.items():
                keys[name] = f"models/{MODEL}/{files.read_manifest(path).digest}"
                store.put_dir(path, keys[name])
            altered = f"models/{MODEL}/altered"
            store.put_dir(releases["good"], altered)
            data = store.get_bytes(f"{altered}/weights.safetensors")
            store.put_bytes(f"{altered}/weights.safetensors", data[:-1] + bytes([data[-1] ^ 1]))
        keys |= {"altered": altered, "absent": f"models/{MODEL}/absent"}
        yield Shelf(f"http://minio.{namespace}.svc:9000", keys, files.read_manifest(releases["good"]).digest)
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")


@dataclass
class Team:
    """A namespace with all that a model of ours needs, and `slipway doctor` for it."""

    namespace: str
    shelf: Shelf
    capsys: Any
    seen: dict[str, Any] = field(default_factory=dict)
    """Of the last walk: link -> state, said, fix."""

    @property
    def service(self) -> dict[str, Any]:
        """The InferenceService, small."""
        made = inference_service(
            name=MODEL, release_uri=self.shelf.uri(), namespace=self.namespace, digest=self.shelf.digest, image=image("serve"),
            cpu="20m", memory="384Mi", max_replicas=1,
        )  # fmt: skip
        made["spec"]["predictor"]["terminationGracePeriodSeconds"] = 1
        return made

    def serve(self, *, release: str = "good", **model: Any) -> None:
        """Apply the InferenceService; `model`: other fields of spec.predictor.model."""
        made = self.service
        made["spec"]["predictor"]["model"] |= {"storageUri": self.shelf.uri(release), **model}
        apply(made)

    def walk(self, *arguments: str) -> int:
        """Exit code of `slipway doctor ARGUMENTS` in this namespace."""
        code = 0
        try:
            main(["doctor", *arguments, "--namespace", self.namespace, "--json"])
        except SystemExit as exc:
            code = int(exc.code or 0)
        out = self.capsys.readouterr()
        assert "Traceback" not in out.out + out.err
        self.seen = {row["link"]: row for row in json.loads(out.out)["links"]}
        return code

    def heals(self) -> None:
        """Walk until nothing is broken."""
        try:
            wait_until(lambda: self.walk("endpoint", MODEL) == 0, "the endpoint to be healthy", FOUND_S)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; last seen: {json.dumps(self.seen, indent=1)}") from exc

    def finds(self, link: str, cause: str, fix: str, *arguments: str) -> None:
        """Walk until the link is broken for this cause; everything before it holds."""

        def found() -> bool:
            code = self.walk(*(arguments or ("endpoint", MODEL)))
            row = self.seen[link]
            return code == 2 and row["state"] == "broken" and cause in row["said"]

        try:
            wait_until(found, f"'{cause}' at {link}", FOUND_S)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; last seen: {json.dumps(self.seen, indent=1)}") from exc
        assert fix in self.seen[link]["fix"]
        if not arguments:
            assert [name for name, row in self.seen.items() if row["state"] == "broken"] == [link]


@pytest.fixture
def team(platform, namespace, shelf, capsys) -> Team:
    """See Team; the test breaks one thing of it. The platform's install has made KServe's downloads fit for such namespaces."""
    runtime = pick(template("slipway-models", namespace=namespace, release="models"), "ServingRuntime")
    endpoint = shelf.url.partition("://")[2]
    apply(
        s3_secret("slipway-models", endpoint, keys=KEYS) | {"metadata": {
            "name": "slipway-models", "namespace": namespace,
            "annotations": s3_secret("x", endpoint)["metadata"]["annotations"]}},
        obj("ServiceAccount", "slipway-models", namespace=namespace, secrets=[{"name": "slipway-models"}]),
        obj("ConfigMap", "slipway-run", namespace=namespace, data={
            "SLIPWAY_STORE": f"s3://{BUCKET}/{TEAM}", "AWS_ENDPOINT_URL": shelf.url,
            "MLFLOW_TRACKING_URI": f"http://mlflow.{namespace}.svc:5000"}),
        obj("Secret", "slipway-store", namespace=namespace,
            data=encoded(dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), KEYS, strict=True)))),
        runtime,
    )  # fmt: skip
    return Team(namespace, shelf, capsys)


def test_a_healthy_endpoint_then_a_route_to_nowhere_then_no_model_behind_it(team):
    team.serve()
    team.heals()
    assert team.seen["digest"]["said"] == team.shelf.digest[:12]
    assert "takes image BYTES" in team.seen["answers"]["said"]
    assert [name for name, row in team.seen.items() if row["state"] == "broken"] == []

    route = {"rules": [{"backendRefs": [{"name": f"{MODEL}-predictor", "port": 80}]}]}
    for parent, cause in (
        ({"name": "nowhere"}, f"there is no Gateway 'nowhere' in '{team.namespace}'"),
        ({**GATEWAY, "sectionName": "none"}, "says Accepted False: NoMatchingParent"),
    ):
        apply(obj("HTTPRoute", "outside", api="gateway.networking.k8s.io/v1", namespace=team.namespace,
                  spec={**route, "parentRefs": [parent]}))  # fmt: skip
        team.finds("route and gateway", cause, "gateway")
    kubectl("-n", team.namespace, "delete", "httproute", "outside")

    kubectl("-n", team.namespace, "annotate", "isvc", MODEL, "--overwrite", f"slipway/release-digest={'0' * 64}")
    team.finds("release in the store", "the object says 000000000000", "deploy again")


@pytest.mark.parametrize("what", ["ServingRuntime/slipway-serve", "ServiceAccount/slipway-models", "Secret/slipway-models"])
def test_what_the_charts_make_is_missing(team, what):
    kind, _, name = what.partition("/")
    team.serve()
    kubectl("-n", team.namespace, "delete", kind.lower(), name)
    link, cause = {
        "ServingRuntime": ("runtime", "there is no ServingRuntime 'slipway-serve'"),
        "ServiceAccount": ("service account", "there is no ServiceAccount 'slipway-models'"),
        "Secret": ("its secret", "Secret 'slipway-models' of ServiceAccount 'slipway-models' is not there"),
    }[kind]
    team.finds(link, cause, "charts/slipway-")


def test_fields_and_keys_of_the_secret(team):
    team.serve()
    patch = ("-n", team.namespace, "patch", "secret", "slipway-models", "--type", "merge", "-p")
    kubectl(*patch, json.dumps({"data": {"AWS_SECRET_ACCESS_KEY": None}}))
    team.finds("its secret", "Secret 'slipway-models' has no AWS_SECRET_ACCESS_KEY", "add it")
    kubectl(*patch, json.dumps({"data": encoded({"AWS_SECRET_ACCESS_KEY": "another"})}))
    team.finds("release in the store", "the secret key does not fit (SignatureDoesNotMatch)", "AWS_SECRET_ACCESS_KEY")
    kubectl(*patch, json.dumps({"metadata": {"annotations": {"serving.kserve.io/s3-endpoint": "minio.nowhere.svc:9000"}}}))
    team.finds("release in the store", "there is no Service 'minio' in namespace 'nowhere'", "correct the URL")


def test_the_release_is_not_there(team):
    team.serve(release="absent")
    team.finds("release in the store", "nothing is there", "register the release again")


def test_a_download_that_fails(team):
    team.serve(storageUri="https://nothing.invalid/model.zip")
    team.finds("download", "init container storage-initializer: exit code 1", "cannot be reached from the pod")


def test_an_image_that_is_not_there(team):
    team.serve(image="registry.invalid/slipway-serve:none")
    team.finds("image", "registry.invalid/slipway-serve:none", "imagePullSecrets")


def test_more_cpu_than_there_is(team):
    team.serve(resources={"requests": {"cpu": "512", "memory": "64Mi"}, "limits": {"memory": "64Mi"}})
    team.finds("pods scheduled", "Insufficient cpu", "ask for less cpu")


def test_a_quota_that_is_too_small(team):
    apply(obj("ResourceQuota", "tiny", namespace=team.namespace, spec={"hard": {"requests.memory": "10Mi"}}))
    team.serve()
    team.finds("pods admitted", "exceeded quota: tiny", "raise ResourceQuota tiny")


def test_a_pod_that_is_not_restricted(team):
    made = team.service
    made["spec"]["predictor"]["securityContext"] = {"runAsNonRoot": False}
    made["spec"]["predictor"]["model"]["securityContext"] = {"allowPrivilegeEscalation": True}
    apply(made)
    team.finds("pods admitted", "violates PodSecurity", "admits restricted pods only")


def test_too_little_memory(team):
    team.serve(resources={"requests": {"cpu": "20m", "memory": "40Mi"}, "limits": {"memory": "40Mi"}})
    team.finds("server", "killed for want of memory (OOMKilled), its limit is 40Mi", "raise the memory limit")


@pytest.mark.parametrize(("release", "cause", "fix"), [
    ("altered", "weights.safetensors: altered", "the release is corrupt"),
    ("strange", "self-test of", "export it again, or roll back"),
])  # fmt: skip
def test_a_release_that_the_server_refuses(team, release, cause, fix):
    team.serve(release=release)
    kubectl("-n", team.namespace, "annotate", "isvc", MODEL, "slipway/release-digest-")
    team.finds("server", cause, fix)


def test_a_server_that_does_not_start(team):
    team.serve(args=["--no-such-flag"])
    team.finds("server", "unrecognized arguments: --no-such-flag", "runtime and image are of other versions")


def test_the_store_of_a_team_healthy_then_told_otherwise_then_away(team, shelf):
    """Its four readers: runs' ConfigMap and Secret, predictors' Secret, KFP's launcher."""
    provider = {"s3": {"default": {
        "endpoint": shelf.url, "disableSSL": True,
        "credentials": {"fromEnv": False, "secretRef": {
            "secretName": "slipway-store",
            "accessKeyKey": "AWS_ACCESS_KEY_ID", "secretKeyKey": "AWS_SECRET_ACCESS_KEY"}}}}}  # fmt: skip
    launcher = {"defaultPipelineRoot": f"s3://{BUCKET}/{TEAM}/kfp", "providers": yaml.safe_dump(provider)}
    apply(obj("ConfigMap", "kfp-launcher", namespace=team.namespace, data=launcher))
    assert team.walk("store") == 0, team.seen
    assert all(team.seen[link]["state"] == "ok" for link in ("KServe's secrets", "KFP's launcher", "write", "read", "delete"))

    provider["s3"]["default"]["endpoint"] = "http://elsewhere:9000"
    apply(obj("ConfigMap", "kfp-launcher", namespace=team.namespace,
              data={**launcher, "providers": yaml.safe_dump(provider)}))  # fmt: skip
    kubectl("-n", team.namespace, "annotate", "secret", "slipway-models", "--overwrite",
            "serving.kserve.io/s3-endpoint=elsewhere:9000")  # fmt: skip
    team.finds("KServe's secrets", "leads to http://elsewhere:9000", "make the annotation", "store")
    team.finds("KFP's launcher", "leads to http://elsewhere:9000", "make endpoint and disableSSL agree", "store")
    assert team.seen["write"]["state"] == "ok"  # runs still work

    away = f"http://minio.{team.namespace}.svc:9000"
    apply(*[o for o in minio(team.namespace, image("minio")) if o["kind"] == "Service"])
    kubectl("-n", team.namespace, "patch", "configmap", "slipway-run", "--type", "merge", "-p",
            json.dumps({"data": {"AWS_ENDPOINT_URL": away}}))  # fmt: skip
    team.finds("server and clock", "minio: has no ready pod", "get pods shows why", "store")


def test_mlflow_that_is_down_and_one_that_refuses_the_name_of_its_service(team):
    apply(obj("Service", "mlflow", namespace=team.namespace, spec={"selector": {"app": "mlflow"}, "ports": [{"port": 5000}]}))
    team.finds("MLflow", f"Service {team.namespace}/mlflow: has no ready pod", "get pods shows why", "cluster")
    assert team.seen["object store"]["state"] == "ok"
    container = {
        "name": "mlflow", "image": image("mlflow"), "command": ["mlflow", "server"], "imagePullPolicy": "IfNotPresent",
        "args": ["--host=0.0.0.0", "--port=5000", "--workers=1", "--backend-store-uri=sqlite:////tmp/m.db"],
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "value": "false"},
                {"name": "MLFLOW_DISABLE_TELEMETRY", "value": "true"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 5000}, "periodSeconds": 2, "timeoutSeconds": 5},
        "resources": {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": SECURE, "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }  # fmt: skip
    spec = {"securityContext": POD, "containers": [container], "volumes": [{"name": "tmp", "emptyDir": {}}],
            "enableServiceLinks": False, "terminationGracePeriodSeconds": 1}  # fmt: skip
    apply(obj("Pod", "mlflow", namespace=team.namespace, meta={"labels": {"app": "mlflow"}}, spec=spec))
    wait(team.namespace, "pod/mlflow", "condition=Ready")
    host = f"mlflow.{team.namespace}.svc:5000"
    team.finds("MLflow", f"refuses the host '{host}'", f"add {host} to mlflow.allowedHosts", "cluster")


def test_rules_that_prometheus_has_not_loaded(team):
    if "monitoring.coreos.com/v1" not in kubectl("api-versions").split():
        pytest.skip("no Prometheus operator in this cluster")
    groups = [{"name": f"doctor-{team.namespace}", "rules": [{"record": "doctor:up", "expr": "up =="}]}]
    rule = obj("PrometheusRule", "ours", api="monitoring.coreos.com/v1", namespace=team.namespace,
               meta={"labels": {"app.kubernetes.io/part-of": "slipway"}}, spec={"groups": groups})  # fmt: skip
    apply(rule)
    team.finds("Prometheus rules", f"has not loaded doctor-{team.namespace}", "does its ruleSelector want a label", "cluster")
    groups[0]["rules"][0]["expr"] = "up == 1"
    apply(rule)

    def loaded() -> bool:
        team.walk("cluster")
        return team.seen["Prometheus rules"]["state"] == "ok"

    wait_until(loaded, "Prometheus to load the rule", FOUND_S)


@pytest.mark.parametrize(
    ("container", "link", "cause", "fix"),
    [
        ({"envFrom": [{"configMapRef": {"name": "absent"}}]}, "configuration", 'configmap "absent" not found',
         "make ConfigMap absent"),
        ({"image": "registry.invalid/slipway-train:none"}, "image", "registry.invalid/slipway-train:none", "imagePullSecrets"),
        ({"resources": {"requests": {"nvidia.com/gpu": "64"}, "limits": {"nvidia.com/gpu": "64"}}}, "pods scheduled",
         "Insufficient nvidia.com/gpu", "ask for less nvidia.com/gpu"),
    ],
    ids=["no-config-map", "no-image", "no-gpu"],
)  # fmt: skip
def test_a_step_of_a_run_that_does_not_start(team, tmp_path, monkeypatch, container, link, cause, fix):
    """The pod as KFP would make it; KFP itself, which only says RUNNING, is played."""
    run_id = "0b9e4b9e-6d0f-4c55-9d5c-1c7a1f0c5a11"
    spec = {"securityContext": POD, "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [
        {"name": "main", "image": image("serve"), "imagePullPolicy": "IfNotPresent", "command": ["true"],
         "securityContext": SECURE, **container}]}  # fmt: skip
    apply(obj("Pod", "step", namespace=team.namespace, meta={"labels": {"pipeline/runid": run_id}}, spec=spec))
    with KfpStub(tmp_path / "kfp") as kfp:
        kfp.runs[run_id] = Run(run_id, {"display_name": "cv"}, tmp_path, state="RUNNING")
        monkeypatch.setenv("SLIPWAY_KFP_HOST", kfp.host)
        team.finds(link, cause, fix, "run", run_id)


def test_an_account_of_little_rights_is_told_what_it_may_not_see(team, tmp_path):
    """As the team's own runs see it: what is not theirs is not looked at, and that is no failure."""
    team.serve()
    apply(obj("ServiceAccount", "nobody", namespace=team.namespace))
    config = json.loads(kubectl("config", "view", "--minify", "--raw", "-o", "json"))
    token = kubectl("-n", team.namespace, "create", "token", "nobody").strip()
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "kubeconfig").write_text(json.dumps(config), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
        team.walk("endpoint", MODEL)
    assert team.seen["API server"]["state"] == "ok"
    assert team.seen["namespace"]["state"] == "not looked at"
    assert "nobody" in team.seen["namespace"]["said"]
    assert get(team.namespace, "isvc", MODEL)["metadata"]["name"] == MODEL
