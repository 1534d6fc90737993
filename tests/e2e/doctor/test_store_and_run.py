"""`slipway doctor store` and `slipway doctor run`: each cause is made for real, and found at its link."""

import json

import pytest
import yaml

from tests.e2e.conftest import image
from tests.e2e.doctor.conftest import TEAM
from tests.helpers.kfp_stub import KfpStub, Run
from tests.helpers.kube_objects import obj
from tests.helpers.kubectl import apply, kubectl
from tests.helpers.minio_pod import BUCKET, POD, SECURE, minio

pytestmark = pytest.mark.e2e


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
