"""What everybody's models and runs rest on: one broken link hides no other."""

import json
import re

import pytest

from tests.helpers.kube_objects import obj

GATEWAY = "gateway.networking.k8s.io/v1"
TEAM = "vision"


@pytest.fixture
def healthy(api):
    """KServe, its webhook, a gateway, a storage class and a team."""
    ready = [{"conditions": {"ready": True}}]
    hook = {"name": "isvc.kserve", "clientConfig": {"service": {"namespace": "kserve", "name": "hook"}}}
    api.put(
        obj("InferenceService", "any", api="serving.kserve.io/v1beta1"),
        obj("Deployment", "kserve-controller-manager", api="apps/v1", namespace="kserve",
            meta={"labels": {"control-plane": "kserve-controller-manager"}}, status={"readyReplicas": 1},
            spec={"replicas": 1, "template": {"spec": {"containers": [{"image": "r/kserve-controller:v0.20.0"}]}}}),
        obj("ValidatingWebhookConfiguration", "isvc", api="admissionregistration.k8s.io/v1", namespace="", webhooks=[hook]),
        obj("EndpointSlice", "hook-1", api="discovery.k8s.io/v1", namespace="kserve", endpoints=ready,
            meta={"labels": {"kubernetes.io/service-name": "hook"}}),
        obj("ClusterStorageContainer", "default", api="serving.kserve.io/v1alpha1", namespace="", spec={"container": {
            "image": "kserve/storage-initializer:v0.20.0",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}}),
        obj("StorageClass", "standard", api="storage.k8s.io/v1", namespace="",
            meta={"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}),
        obj("Gateway", "gw", api=GATEWAY, namespace="gateways", status={
            "addresses": [{"value": "10.0.0.1"}], "conditions": [{"type": "Programmed", "status": "True"}]}),
        obj("Namespace", TEAM, namespace="", meta={"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}),
        obj("ConfigMap", "slipway-run", namespace=TEAM, data={}),
        obj("ResourceQuota", "slipway", namespace=TEAM,
            status={"hard": {"requests.cpu": "4", "pods": "10"}, "used": {"requests.cpu": "3500m", "pods": "2"}}),
    )  # fmt: skip
    return api


def test_a_healthy_cluster(healthy, doctor):
    code, links = doctor("cluster")
    assert code == 0
    assert links["controllers"][1] == "KServe kserve-controller:v0.20.0"
    assert links["quotas"][1] == "vision requests.cpu 88%"
    assert "not installed: " in links["types"][1]


def no_kserve(api):
    api.remove("InferenceService")


def controller_stopped(api):
    api.get("Deployment", "kserve-controller-manager")["spec"]["replicas"] = 0


def controller_down(api):
    api.get("Deployment", "kserve-controller-manager")["status"] = {"conditions": [
        {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"}]}  # fmt: skip


def webhook_down(api):
    api.get("EndpointSlice", "hook-1")["endpoints"] = []


def no_default(api):
    api.get("StorageClass", "standard")["metadata"]["annotations"] = {}


def no_address(api):
    api.get("Gateway", "gw")["status"]["addresses"] = []


def unprotected(api):
    api.get("Namespace", TEAM)["metadata"]["labels"] = {}


def unrestricted_download(api):
    del api.get("ClusterStorageContainer", "default")["spec"]["container"]["securityContext"]


def test_what_is_advised_for_downloads_makes_them_admitted(healthy, doctor):
    unrestricted_download(healthy)
    _, links = doctor("cluster")
    patch = json.loads(re.search(r"-p '(.*)'", links["model download"][2])[1])
    healthy.get("ClusterStorageContainer", "default")["spec"]["container"] |= patch["spec"]["container"]
    code, links = doctor("cluster")
    assert (code, links["model download"][0]) == (0, "ok")
    assert patch["spec"]["container"]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }, "the restricted profile, all of it"


def full(api):
    api.get("ResourceQuota", "slipway")["status"]["used"]["pods"] = "10"


def mlflow_down(api):
    api.get("ConfigMap", "slipway-run")["data"] = {"MLFLOW_TRACKING_URI": "http://slipway-mlflow.slipway.svc:5000"}
    spec = {"selector": {"app": "mlflow"}, "ports": [{"port": 5000}]}
    api.put(obj("Service", "slipway-mlflow", namespace="slipway", spec=spec))


def mlflow_silent(api):
    api.get("ConfigMap", "slipway-run")["data"] = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}


def store_gone(api):
    api.get("ConfigMap", "slipway-run")["data"] = {"AWS_ENDPOINT_URL": "http://slipway-minio.slipway.svc:9000"}


@pytest.mark.parametrize(
    ("change", "link", "cause", "fix"),
    [
        (no_kserve, "types", "does not know serving.kserve.io/v1beta1", "install KServe"),
        (controller_down, "controllers", "has 0 of 1 pods ready: MinimumReplicasUnavailable", "kubectl -n kserve get pods"),
        (controller_stopped, "controllers", "kserve-controller-manager is scaled to no pods", "--replicas=1"),
        (webhook_down, "webhooks", "isvc.kserve: Service kserve/hook has no ready pod", "remove the webhook's configuration"),
        (no_default, "storage class", "no storage class is the default; there are: standard", "annotate one"),
        (no_address, "gateways", "Gateway gateways/gw has no address", "load balancer"),
        (unprotected, "pod security", "'vision' enforces no pod security level", "=restricted"),
        (
            unrestricted_download,
            "model download",
            "sets no restricted securityContext",
            "kubectl patch clusterstoragecontainer",
        ),
        (full, "quotas", "pods is used up, 10 of 10", "raise it"),
        (mlflow_down, "MLflow", "Service slipway/slipway-mlflow: has no ready pod", "get pods shows why"),
        (mlflow_silent, "MLflow", "http://127.0.0.1:9 does not answer", "are they running and ready?"),
        (store_gone, "object store", "there is no Service 'slipway-minio' in namespace 'slipway'", "install what it names"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_cause_is_told_and_hides_no_other(healthy, doctor, change, link, cause, fix):
    change(healthy)
    unprotected(healthy) if change is not unprotected else full(healthy)
    code, links = doctor("cluster")
    assert code == 2
    assert {name for name, found in links.items() if found[0] == "broken"} == {
        link, "quotas" if change is unprotected else "pod security"
    }  # fmt: skip
    assert cause in links[link][1]
    assert fix in links[link][2]
