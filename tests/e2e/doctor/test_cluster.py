"""`slipway doctor cluster`: each cause is made for real, and found at its link."""

import contextlib
import json
import shlex
from collections.abc import Iterator

import pytest

from slipway.deploy.downloads import RESTRICTED, STORAGE
from tests.e2e.conftest import KFP, image, kfp_service
from tests.e2e.doctor.conftest import MODEL
from tests.helpers.kube_objects import obj
from tests.helpers.kubectl import apply, get, kubectl, wait
from tests.helpers.minio_pod import POD, SECURE

pytestmark = pytest.mark.e2e
CRD = "inferenceservices.serving.kserve.io"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
ROUTES = "gateway.networking.k8s.io/v1"


@contextlib.contextmanager
def stopped(namespace: str, deployment: str) -> Iterator[None]:
    """A Deployment of somebody else's without pods, while the block lasts."""
    replicas = get(namespace, f"deployment/{deployment}")["spec"]["replicas"]
    kubectl("-n", namespace, "scale", f"deployment/{deployment}", "--replicas=0")
    try:
        yield
    finally:
        kubectl("-n", namespace, "scale", f"deployment/{deployment}", f"--replicas={replicas}")
        wait(namespace, f"deployment/{deployment}", "condition=Available")


def test_kserves_controller_is_away(team):
    team.serve()
    with stopped("kserve", "kserve-controller-manager"):
        gone = "KServe: Deployment kserve/kserve-controller-manager is scaled to no pods"
        team.finds("controllers", gone, "scale deployment kserve-controller-manager --replicas=1", "cluster")
        team.finds("webhooks", "Service kserve/kserve-webhook-server-service has no ready pod", "get pods shows why", "cluster")
        team.finds("webhook", "failed calling webhook", "slipway doctor cluster", "endpoint", MODEL)
    team.holds("webhooks", "cluster")
    team.heals()


def test_a_type_that_the_api_server_does_not_know(team):
    """Not served for a while, instead of removed: what there is of it stays."""
    versions = get("default", f"crd/{CRD}")["spec"]["versions"]

    def serve(told: bool) -> None:
        patch = [{"op": "replace", "path": f"/spec/versions/{i}/served", "value": told} for i in range(len(versions))]
        kubectl("patch", "crd", CRD, "--type=json", "-p", json.dumps(patch))

    serve(False)
    try:
        for link, arguments in {"types": ("cluster",), "KServe's type": ("endpoint", MODEL)}.items():
            team.finds(link, "does not know serving.kserve.io/v1beta1 InferenceService", "make cluster-install", *arguments)
    finally:
        serve(True)
    team.holds("types", "cluster")


def test_a_gateway_whose_controller_is_not_there(team):
    listener = {"name": "http", "port": 80, "protocol": "HTTP"}
    apply(obj("Gateway", "lonely", api=ROUTES, namespace=team.namespace,
              spec={"gatewayClassName": "nobodys", "listeners": [listener]}))  # fmt: skip
    team.finds("gateways", f"Gateway {team.namespace}/lonely is not programmed", "is its class's controller up", "cluster")
    route = {"parentRefs": [{"name": "lonely"}], "rules": [{"backendRefs": [{"name": f"{MODEL}-predictor", "port": 80}]}]}
    apply(obj("HTTPRoute", "outside", api=ROUTES, namespace=team.namespace, spec=route))
    team.serve()
    team.finds("route and gateway", "lonely has not looked at it", "slipway doctor cluster")


def test_no_storage_class_is_the_default(team):
    classes = get("default", "storageclasses")["items"]
    default = [c["metadata"]["name"] for c in classes if c["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true"]
    if not default:
        pytest.skip("no storage class of this cluster is the default")
    annotate = ("annotate", "--overwrite", "storageclass", *default)
    kubectl(*annotate, f"{DEFAULT_CLASS}=false")
    try:
        team.finds("storage class", f"no storage class is the default; there are: {default[0]}", DEFAULT_CLASS, "cluster")
    finally:
        kubectl(*annotate, f"{DEFAULT_CLASS}=true")
    team.holds("storage class", "cluster")


def test_what_a_namespace_of_ours_does_not_enforce_and_what_it_has_used_up(team):
    kubectl("label", "--overwrite", "namespace", team.namespace, "pod-security.kubernetes.io/enforce=baseline")
    team.finds("pod security", f"'{team.namespace}' enforces baseline", "enforce=restricted", "cluster")
    kubectl(*shlex.split(team.seen["pod security"]["fix"])[1:])
    team.holds("pod security", "cluster")

    count = len(get(team.namespace, "secrets")["items"])
    apply(obj("ResourceQuota", "full", namespace=team.namespace, spec={"hard": {"count/secrets": str(count)}}))
    team.finds("quotas", f"{team.namespace}/full: count/secrets is used up, {count} of {count}", "raise it", "cluster")


def test_downloads_that_restricted_namespaces_refuse_until_the_advice_is_taken(team):
    nothing = json.dumps({"spec": {"container": {"securityContext": None}}})
    kubectl("patch", "clusterstoragecontainer", STORAGE, "--type=merge", "-p", nothing)
    try:
        team.finds("model download", "sets no restricted securityContext", "kubectl patch", "cluster")
        kubectl(*shlex.split(team.seen["model download"]["fix"])[1:])
        team.holds("model download", "cluster")
    finally:
        kubectl("patch", "clusterstoragecontainer", STORAGE, "--type=merge", "-p", json.dumps(RESTRICTED))


def test_kubeflow_pipelines_is_away(team):
    if not kfp_service():
        pytest.skip(f"no KFP API: {KFP} has no Service ml-pipeline")
    with stopped(KFP, "ml-pipeline"):
        team.finds("Kubeflow Pipelines", "ml-pipeline: has no ready pod", "get pods shows why", "cluster")
    team.holds("Kubeflow Pipelines", "cluster")


def test_an_object_store_that_is_away(team):
    apply(obj("Service", "elsewhere", namespace=team.namespace, spec={"selector": {"app": "none"}, "ports": [{"port": 9000}]}))
    told = {"AWS_ENDPOINT_URL": f"http://elsewhere.{team.namespace}.svc:9000"}
    kubectl("-n", team.namespace, "patch", "configmap", "slipway-run", "--type=merge", "-p", json.dumps({"data": told}))
    team.finds("object store", "elsewhere: has no ready pod", "get pods shows why", "cluster")


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
    team.holds("Prometheus rules", "cluster")
