"""What every service account of the charts may do in the cluster, as a table; whatever is not in it, it may not.

The accounts, roles and bindings are those that the charts render, in namespaces of the test's own; the answers are the API
server's, as `kubectl auth can-i VERB KIND/NAME --as system:serviceaccount:NAMESPACE:NAME -n NAMESPACE` gives them.
"""

import secrets
from collections.abc import Iterator

import pytest

from slipway.deploy.kube import Kube
from tests.helpers.helm import template
from tests.helpers.kubectl import apply, kubectl

pytestmark = pytest.mark.e2e
MODEL, OTHER = "cv-parts", "cv-other"
RBAC = ("ServiceAccount", "Role", "RoleBinding")
RUN, SERVE, ISVC, ROUTE = (
    "slipway-run",
    "slipway-models",
    "serving.kserve.io/inferenceservices",
    "gateway.networking.k8s.io/httproutes",
)
RESULTS, RIGHTS = "argoproj.io/workflowtaskresults", "rbac.authorization.k8s.io"

ALLOWED: dict[tuple[str, str], dict[str, set[str]]] = {
    # pipelines and training: they deploy what they made, any model of the team's, and delete none; KFP's driver and launcher
    # read where artifacts go
    ("team", RUN): {"team": {
        f"{verb} {ISVC}/{name}" for verb in ("get", "create", "patch") for name in (MODEL, f"{MODEL}-canary", OTHER)
    } | {f"{verb} {ROUTE}/{MODEL}" for verb in ("get", "create", "patch")} | {
        f"list {ISVC}", f"get apps/deployments/{MODEL}-predictor", "get configmaps/kfp-launcher", "get secrets/slipway-store",
        f"get serviceaccounts/slipway-model-{MODEL}", f"get serviceaccounts/{RUN}", f"get serviceaccounts/{SERVE}",
        "get serviceaccounts/slipway-mlflow",  # rights to any name of the namespace, also one that is not there
        f"create {RESULTS}", f"patch {RESULTS}", "get pods",
    }},
    # servers: KServe takes their Secret, they themselves ask the cluster for nothing
    ("team", SERVE): {},
    ("team", f"slipway-model-{MODEL}"): {},
    # keeps one model at its alias: its service, its canary, their route; it deletes nothing but the canary
    ("team", "models-follower"): {"team": {
        f"get {ISVC}/{MODEL}", f"create {ISVC}/{MODEL}", f"patch {ISVC}/{MODEL}",
        f"get {ISVC}/{MODEL}-canary", f"create {ISVC}/{MODEL}-canary", f"patch {ISVC}/{MODEL}-canary",
        f"delete {ISVC}/{MODEL}-canary",
        f"get {ROUTE}/{MODEL}", f"create {ROUTE}/{MODEL}", f"patch {ROUTE}/{MODEL}",
        f"get serviceaccounts/slipway-model-{MODEL}", f"get apps/deployments/{MODEL}-predictor",
    }},
    ("platform", "slipway-mlflow"): {},
    ("platform", "slipway-minio"): {},
    # makes the credentials, each under its name, and never sees another Secret
    ("platform", "slipway-provision"): {
        "platform": {f"{verb} secrets/slipway-mlflow-store" for verb in ("get", "create", "patch")}
        | {"get serviceaccounts/slipway-mlflow"},
        "team": {
            f"{verb} secrets/{name}"
            for verb in ("get", "create", "patch") for name in ("slipway-store", SERVE, f"slipway-model-{MODEL}")
        } | {f"get serviceaccounts/{name}" for name in (RUN, SERVE, f"slipway-model-{MODEL}")},
    },
}  # fmt: skip
"""(namespace, account) -> namespace -> what it may do there."""

ASKED = sorted(
    {question for rows in ALLOWED.values() for questions in rows.values() for question in questions}
    | {f"{verb} {kind}" for verb in ("get", "list", "watch", "create", "patch", "delete") for kind in ("secrets", "configmaps")}
    | {f"{verb} {kind}" for verb in ("create", "delete", "list") for kind in ("pods", "services", "serviceaccounts", "events")}
    | {f"{verb} secrets/{name}" for verb in ("get", "delete") for name in ("slipway-store", SERVE, "slipway-minio-root")}
    | {f"{verb} {ISVC}/{name}" for verb in ("delete", "update", "deletecollection") for name in (MODEL, OTHER)}
    | {f"{verb} {RIGHTS}/{kind}" for verb in ("create", "patch", "bind", "escalate") for kind in ("roles", "rolebindings")}
    | {"create pods/exec", "create pods/portforward", "get pods/log", "create serviceaccounts/token"}
    | {"impersonate serviceaccounts"}
    | {f"{verb} apps/{kind}" for verb in ("create", "patch", "delete") for kind in ("deployments", "daemonsets")}
    | {"create batch/jobs", "create batch/cronjobs", "patch resourcequotas", "patch limitranges"}
    | {f"{verb} networking.k8s.io/networkpolicies" for verb in ("create", "patch", "delete")}
)  # fmt: skip
EVERYWHERE = (
    "list namespaces", "create namespaces", "list nodes", "get nodes/proxy", "list secrets", "list persistentvolumes",
    "create rbac.authorization.k8s.io/clusterroles", "create rbac.authorization.k8s.io/clusterrolebindings",
    "patch admissionregistration.k8s.io/mutatingwebhookconfigurations", "patch apiextensions.k8s.io/customresourcedefinitions",
)  # fmt: skip
SUBRESOURCES = ("exec", "portforward", "log", "token", "proxy")


@pytest.fixture(scope="module")
def where(cluster) -> Iterator[dict[str, str]]:
    """The charts' accounts with their rights, and nothing else of the charts: role -> namespace."""
    names = {role: f"e2e-{role}-{secrets.token_hex(3)}" for role in ("platform", "team", "stranger")}
    for name in names.values():
        kubectl("create", "namespace", name)
    try:
        apply(*rights(names))
        yield names
    finally:
        for name in names.values():
            kubectl("delete", "namespace", name, "--wait=false")


def rights(names: dict[str, str]) -> list[dict]:
    """Accounts, roles and bindings as the charts render them."""
    team = {"namespace": names["team"], "createNamespace": False, "models": [MODEL]}
    platform = template("slipway-platform", namespace=names["platform"], teams={"e2e": team})
    models = template("slipway-models", namespace=names["team"], release="models", follow=[{"name": MODEL}])
    return [found for found in (*platform, *models) if found["kind"] in RBAC]


def allowed(kube: Kube, account: tuple[str, str], question: str, namespace: str) -> bool:
    """The API server's answer."""
    verb, _, what = question.partition(" ")
    group, resource, name = "", *[*what.split("/"), ""][:2]
    if "." in resource or resource in ("apps", "batch"):
        group, resource, name = [*what.split("/"), ""][:3]
    attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
    attributes |= {"subresource": name} if name in SUBRESOURCES else {"name": name}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "resourceAttributes": attributes, "user": "system:serviceaccount:{}:{}".format(*account),
        "groups": ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}", "system:authenticated"]}}  # fmt: skip
    answer = kube.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
    return bool(answer["status"]["allowed"])


def test_every_account_of_the_charts_is_in_the_table(where):
    made = [found for found in rights(where) if found["kind"] == "ServiceAccount"]
    roles = {namespace: role for role, namespace in where.items()}
    assert {(roles[a["metadata"]["namespace"]], a["metadata"]["name"]) for a in made} == {*ALLOWED}


def test_no_chart_asks_for_rights_in_the_whole_cluster(where):
    charts = template("slipway-platform", teams={"a": {"models": [MODEL]}})
    charts += template("slipway-models", namespace="a", follow=[{"name": MODEL}])
    assert [found["metadata"]["name"] for found in charts if found["kind"] in ("ClusterRole", "ClusterRoleBinding")] == []


@pytest.mark.parametrize(("role", "name"), [*ALLOWED], ids=lambda value: str(value))
def test_an_account_may_do_what_its_row_says_and_no_more(where, role, name):
    kube, account = Kube(), (where[role], name)
    for place, namespace in where.items():
        found = {question for question in ASKED if allowed(kube, account, question, namespace)}
        assert found == ALLOWED[role, name].get(place, set()), f"in {place}"
    assert [question for question in EVERYWHERE if allowed(kube, account, question, "")] == []
