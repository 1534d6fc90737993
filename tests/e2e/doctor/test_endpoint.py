"""`slipway doctor endpoint`: each cause is made for real, and found at its link."""

import json

import pytest

from tests.e2e.doctor.conftest import MODEL
from tests.helpers.kube_objects import encoded, obj
from tests.helpers.kubectl import apply, get, kubectl

pytestmark = pytest.mark.e2e
GATEWAY = {"name": "kserve-ingress-gateway", "namespace": "kserve"}


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


def test_a_server_whose_probe_fails(team):
    team.serve(readinessProbe={"httpGet": {"path": "/v2/models/another/ready", "port": 8080}, "periodSeconds": 2})
    team.finds("server", "runs, but is not ready (Readiness probe failed: HTTP probe failed with statuscode: 404)", "logs")


def test_a_format_that_the_runtime_does_not_take(team):
    team.serve(modelFormat={"name": "sklearn"})
    team.finds("runtime", "not format 'sklearn'", "name a runtime that takes it")


def test_a_service_that_is_stopped(team):
    team.serve()
    kubectl("-n", team.namespace, "annotate", "isvc", MODEL, "serving.kserve.io/stop=true")
    team.finds("InferenceService", "it is stopped by its annotation", "take the annotation away")


def test_a_server_that_does_not_start(team):
    team.serve(args=["--no-such-flag"])
    team.finds("server", "unrecognized arguments: --no-such-flag", "runtime and image are of other versions")


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
