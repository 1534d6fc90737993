"""What slipway-platform renders to, for every configuration it supports."""

from pathlib import Path

import pytest
import yaml

from tests.helpers import helm

CHART = "slipway-platform"
CI = {path.name.removesuffix("-values.yaml"): path for path in helm.values_files(CHART)}


def objects(case: str, **sets) -> list[dict]:
    return helm.template(CHART, CI[case], **sets)


@pytest.mark.parametrize("case", CI)
def test_lint_finds_nothing_and_two_renders_are_equal(case: str):
    helm.lint(CHART, CI[case])
    assert helm.render(CHART, CI[case]) == helm.render(CHART, CI[case], again=True)


@pytest.mark.parametrize("case", CI)
def test_every_pod_is_restricted_and_knows_its_size(case: str):
    found = list(helm.pods(objects(case)))
    assert found
    for where, pod in found:
        security = pod["securityContext"]
        assert security["runAsNonRoot"], where
        assert security["runAsUser"] > 0, where
        assert security["seccompProfile"]["type"] == "RuntimeDefault", where
        assert pod["enableServiceLinks"] is False, where
        assert pod["automountServiceAccountToken"] is ("-provision-" in where), where
        assert any("emptyDir" in v for v in pod["volumes"]), where
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"], where
            assert security["allowPrivilegeEscalation"] is False, where
            assert security["capabilities"] == {"drop": ["ALL"]}, where
            assert not container["image"].endswith((":latest", ":")), where
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), where
            assert "memory" in container["resources"]["limits"], where


@pytest.mark.parametrize("case", CI)
def test_nothing_is_secret_and_nothing_has_a_way_in_from_outside(case: str):
    for found in objects(case):
        assert found["kind"] not in ("Secret", "Ingress", "HTTPRoute", "ClusterRole", "ClusterRoleBinding"), found["metadata"]
        if found["kind"] == "Service":
            assert found["spec"].get("type", "ClusterIP") == "ClusterIP"


def test_the_development_profile_fits_a_laptop():
    pods = [pod for _, pod in helm.pods(objects("default"))]
    requests = [container["resources"]["requests"] for pod in pods for container in pod["containers"]]
    assert sum(int(request["cpu"].removesuffix("m")) for request in requests) <= 200
    assert sum(int(request["memory"].removesuffix("Mi")) for request in requests) <= 1100


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ({"minio__enabeld": True}, "enabeld"),
        ({"mlflow__database__existingsecret": "x"}, "existingsecret"),
        ({"teams": {"vision": {"model": ["cv"]}}}, "model"),
        ({"teams": {"vision": {"environment": {"AWS_ACCESS_KEY_ID": "x"}}}}, "AWS_ACCESS_KEY_ID"),
        ({"teams": {"Vision": {}}}, "Vision"),
        ({"teams": {"vision": {"models": ["cv_parts"]}}}, "cv_parts"),
        ({"images": {"minio": {"digest": "sha256:short"}}}, "sha256:short"),
        ({"mlflow__artifactPrefix": "teams"}, "artifactPrefix"),
        ({"mlflow__replicas": 2}, "mlflow.replicas: 2 servers cannot share SQLite"),
        ({"minio__enabled": False}, "provision.enabled: needs MinIO's admin API"),
        ({"store__endpoint": "http://s3:9000"}, "set minio.enabled=false"),
        ({"teams": {"vision": {"namespace": "slipway"}}}, "the platform's own"),
        ({"teams": {"a": {"namespace": "x"}, "b": {"namespace": "x"}}}, "team 'a''s already"),
    ],
)
def test_a_wrong_value_is_refused_by_name(sets: dict, said: str):
    with helm.refuses(said):
        helm.template(CHART, **sets)


def test_every_object_of_the_schema_refuses_what_it_does_not_know():
    assert helm.open_objects(CHART) == []


def test_mlflow_answers_under_every_name_of_its_service():
    found = helm.template(CHART, namespace="ml", release="one", mlflow__allowedHosts=["mlflow.example.com"])
    mlflow = helm.pick(found, "Deployment", "one-mlflow")["spec"]["template"]["spec"]["containers"][0]
    env = {e["name"]: e.get("value") for e in mlflow["env"]}
    hosts = env["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    for name in ("one-mlflow", "one-mlflow.ml", "one-mlflow.ml.svc", "one-mlflow.ml.svc.cluster.local"):
        assert name in hosts
        assert f"{name}:5000" in hosts
    assert "mlflow.example.com" in hosts
    assert "*" not in hosts
    assert "--port=5000" in mlflow["args"]
    assert "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS" not in env


def test_sqlite_is_migrated_by_its_own_pod_and_never_shared():
    found = objects("default")
    mlflow = helm.pick(found, "Deployment", "slipway-mlflow")["spec"]
    assert mlflow["strategy"] == {"type": "Recreate"}
    assert mlflow["template"]["spec"]["initContainers"][0]["command"][-1] == "slipway.tracking.schema"
    kept = helm.pick(found, "PersistentVolumeClaim")["metadata"]["annotations"]
    assert kept == {"helm.sh/resource-policy": "keep"}
    assert "annotations" not in helm.pick(objects("default", keepData=False), "PersistentVolumeClaim")["metadata"]


def test_postgres_is_migrated_before_the_servers_change():
    found = objects("postgres")
    job = helm.pick(found, "Job", "slipway-mlflow-migrate")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    mlflow = helm.pick(found, "Deployment", "slipway-mlflow")["spec"]
    assert "initContainers" not in mlflow["template"]["spec"]
    uri = {"secretKeyRef": {"name": "mlflow-postgres", "key": "uri"}}
    for container, variable in ((job, "MLFLOW_TRACKING_URI"), (mlflow, "MLFLOW_BACKEND_STORE_URI")):
        spec = container.get("spec", container)["template"]["spec"]["containers"][0]
        assert {"name": variable, "valueFrom": uri} in spec["env"]
    assert not [o for o in found if o["kind"] == "PersistentVolumeClaim"]


def test_a_digest_wins_over_a_tag_and_one_value_moves_every_image():
    for _, pod in helm.pods(objects("postgres")):
        for container in pod["containers"]:
            assert container["image"].startswith("registry.example.com/ml/slipway-")
            if "mlflow" in container["image"]:
                assert container["image"].endswith("@sha256:" + "a" * 64)
    run = helm.pick(objects("postgres"), "ConfigMap", "slipway-run")["data"]
    assert run["SLIPWAY_SERVE_IMAGE"] == "registry.example.com/ml/slipway-serve@sha256:" + "b" * 64
    assert "SLIPWAY_SERVE_IMAGE" not in helm.pick(objects("external-s3"), "ConfigMap", "slipway-run")["data"]


def test_a_team_gets_what_its_pods_read():
    from slipway.deploy import pod

    found = objects("teams")
    assert [o["metadata"]["name"] for o in found if o["kind"] == "Namespace"] == ["vision"]
    for namespace, team in (("vision", "vision"), ("nlp", "text")):
        run = helm.pick(found, "ConfigMap", pod.RUN_CONFIG, namespace)["data"]
        assert set(pod.REQUIRED_KEYS) <= run.keys() <= {*pod.REQUIRED_KEYS, *pod.OPTIONAL_KEYS}
        assert run["SLIPWAY_STORE"] == f"s3://slipway/teams/{team}"
        assert run["MLFLOW_TRACKING_URI"] == "http://slipway-mlflow.slipway.svc:5000"
        assert run["AWS_ENDPOINT_URL"] == "http://slipway-minio.slipway.svc:9000"
        launcher = helm.pick(found, "ConfigMap", "kfp-launcher", namespace)["data"]
        assert launcher["defaultPipelineRoot"] == f"s3://slipway/teams/{team}/kfp"
        secret = {"secretName": pod.STORE_SECRET, "accessKeyKey": pod.STORE_KEYS[0], "secretKeyKey": pod.STORE_KEYS[1]}
        s3 = yaml.safe_load(launcher["providers"])["s3"]["default"]
        assert s3["credentials"] == {"fromEnv": False, "secretRef": secret}
        assert s3["disableSSL"] is True
        assert s3["forcePathStyle"] is True
    labels = helm.pick(found, "Namespace", "vision")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert helm.pick(found, "ResourceQuota", namespace="nlp")["spec"]["hard"]["requests.nvidia.com/gpu"] == "2"


def test_an_empty_quota_is_none_and_one_key_is_one_more():
    found = helm.template(CHART, teams={"a": {"quota": {}, "limits": {}}, "b": {"quota": {"requests.nvidia.com/gpu": 1}}})
    assert [o["metadata"]["namespace"] for o in found if o["kind"] == "LimitRange"] == ["b"]
    hard = helm.pick(found, "ResourceQuota")["spec"]["hard"]
    assert hard["requests.nvidia.com/gpu"] == 1
    assert hard["pods"] == "100"


def test_roles_of_a_cloud_take_the_place_of_keys():
    found = objects("aws-roles")
    run = helm.pick(found, "ConfigMap", "slipway-run")["data"]
    assert "AWS_ENDPOINT_URL" not in run
    s3 = yaml.safe_load(helm.pick(found, "ConfigMap", "kfp-launcher")["data"]["providers"])["s3"]["default"]
    assert s3["endpoint"] == "https://s3.eu-central-1.amazonaws.com"
    assert s3["credentials"] == {"fromEnv": True}
    account = helm.pick(found, "ServiceAccount", "slipway-models")
    assert "secrets" not in account
    assert "eks.amazonaws.com/role-arn" in account["metadata"]["annotations"]


def test_nobody_may_do_more_than_this_in_the_cluster():
    found = objects("teams")
    may = {}
    for binding in (o for o in found if o["kind"] == "RoleBinding"):
        namespace = binding["metadata"]["namespace"]
        role = helm.pick(found, "Role", binding["roleRef"]["name"], namespace)
        (subject,) = binding["subjects"]
        rules = {
            (resource, verb, name)
            for rule in role["rules"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
            for name in rule.get("resourceNames", ["any"])
        }
        may[f"{subject['namespace']}/{subject['name']} in {namespace}"] = rules
    run = {("inferenceservices", verb, "any") for verb in ("get", "list", "watch", "create", "patch")}
    run |= {("httproutes", verb, "any") for verb in ("get", "create", "patch")} | {("deployments", "get", "any")}
    run |= {("serviceaccounts", "get", "any"), ("pods", "get", "any"), ("configmaps", "get", "kfp-launcher")}
    run |= {
        ("secrets", "get", "slipway-store"),
        ("workflowtaskresults", "create", "any"),
        ("workflowtaskresults", "patch", "any"),
    }

    def provisions(accounts: set[str], secrets: set[str]) -> set[tuple[str, str, str]]:
        return {("serviceaccounts", "get", a) for a in accounts} | {
            ("secrets", verb, s) for verb in ("get", "create", "patch") for s in secrets
        }

    readers = {"slipway-model-cv-parts", "slipway-model-defect-steel"}
    assert may == {
        "vision/slipway-run in vision": run,
        "nlp/slipway-run in nlp": run,
        "slipway/slipway-provision in slipway": provisions({"slipway-mlflow"}, {"slipway-mlflow-store"}),
        "slipway/slipway-provision in nlp": provisions({"slipway-run", "slipway-models"}, {"slipway-store", "slipway-models"}),
        "slipway/slipway-provision in vision": provisions(
            {"slipway-run", "slipway-models", *readers}, {"slipway-store", "slipway-models", *readers}
        ),
    }
    for name in ("slipway-models", *readers):
        account = helm.pick(found, "ServiceAccount", name, "vision")
        assert account["automountServiceAccountToken"] is False
        assert account["secrets"] == [{"name": name}]


def test_everything_is_denied_but_what_is_needed():
    found = objects("teams")
    policies = {(o["metadata"]["namespace"], o["metadata"]["name"]): o["spec"] for o in found if o["kind"] == "NetworkPolicy"}
    for namespace in ("vision", "nlp"):
        deny = policies[namespace, "slipway-default-deny"]
        assert (deny["podSelector"], deny["policyTypes"]) == ({}, ["Ingress", "Egress"])
        assert deny["ingress"] == [{"from": [{"podSelector": {}}]}]
        served = policies[namespace, "slipway-models"]["ingress"][0]
        assert names(served["from"]) == {"envoy-gateway-system", "monitoring"}
        assert [port["port"] for port in served["ports"]] == [8080, 8081]
        reach = {(n, port["port"]) for rule in deny["egress"] for n in names(rule["to"]) for port in rule.get("ports", [])}
        assert reach == {("kube-system", 53), ("slipway", 9000), ("slipway", 5000)}
    deny = policies["slipway", "slipway-default-deny"]
    for where, pod in (
        (o["metadata"]["name"], o["spec"]["template"]) for o in found if o["kind"] in ("Deployment", "StatefulSet", "Job")
    ):
        assert deny["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items(), where
    assert names(policies["slipway", "slipway-mlflow"]["ingress"][0]["from"]) == {"vision", "nlp", "kubeflow"}
    assert not [o for o in objects("no-prometheus-operator") if o["kind"] == "NetworkPolicy"]


def names(peers: list[dict]) -> set[str]:
    """Namespaces that peers of a policy name."""
    return {p["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for p in peers if "namespaceSelector" in p}


def test_a_store_elsewhere_is_reached_at_its_own_port():
    policies = [o for o in objects("external-s3") if o["kind"] == "NetworkPolicy"]
    rules = helm.pick(policies, "NetworkPolicy", "slipway-default-deny", "vision")["spec"]["egress"]
    assert {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"protocol": "TCP", "port": 9443}]} in rules


def test_the_plan_is_what_provisioning_reads(tmp_path: Path):
    from slipway.deploy.provision import read_plan

    path = tmp_path / "plan.yaml"
    path.write_text(helm.pick(objects("teams"), "ConfigMap", "slipway-provision")["data"]["plan.yaml"])
    plan = read_plan(path)
    may = {c.user: (c.prefix, c.write, f"{c.namespace}/{c.secret}", c.account) for c in plan.grants}
    assert may["slipway_vision_model_cv-parts"] == (
        "teams/vision/models/cv-parts",
        False,
        "vision/slipway-model-cv-parts",
        "slipway-model-cv-parts",
    )
    assert may["slipway_text_run"] == ("teams/text", True, "nlp/slipway-store", "slipway-run")
    assert plan.grants[-1].user == "slipway_mlflow"
    assert helm.pick(objects("external-minio"), "ConfigMap", "slipway-provision")["data"]["plan.yaml"].startswith(
        "endpoint: https://minio.example.com\n"
    )


def test_a_new_revision_or_plan_is_a_new_job():
    jobs = [helm.pick(objects(case), "Job")["metadata"]["name"] for case in ("default", "teams", "default")]
    assert jobs[0] == jobs[2] != jobs[1]


def test_rules_dashboards_and_monitors_carry_the_labels_they_are_chosen_by():
    found = objects("default", monitoring__labels={"release": "mine"})
    chosen = [o for o in found if o["apiVersion"] == "monitoring.coreos.com/v1"]
    assert chosen
    assert all(o["metadata"]["labels"]["release"] == "mine" for o in chosen)
    files = helm.CHARTS / CHART / "files"
    dashboards = {path.name for path in (files / "dashboards").glob("*.json")}
    shown = {key for o in found if "-dashboard-" in o["metadata"]["name"] for key in o["data"]}
    assert shown == dashboards
    assert helm.pick(found, "PrometheusRule")["spec"] == yaml.safe_load((files / "rules.yaml").read_text())
    without = objects("no-prometheus-operator")
    assert not [o for o in without if o["apiVersion"] == "monitoring.coreos.com/v1"]


def test_alerts_link_to_a_runbook_of_ones_own_and_rules_of_ones_own_take_the_place_of_ours():
    ours = helm.pick(objects("default", monitoring__runbook="https://wiki.example.com/runbook"), "PrometheusRule")["spec"]
    links = {rule["annotations"]["runbook_url"] for group in ours["groups"] for rule in group["rules"] if "alert" in rule}
    assert links
    assert all(link.startswith("https://wiki.example.com/runbook#slipway") for link in links)
    mine = {"groups": [{"name": "mine", "rules": [{"record": "mine", "expr": "up"}]}]}
    assert helm.pick(objects("default", monitoring__rules=yaml.safe_dump(mine)), "PrometheusRule")["spec"] == mine


def test_a_namespace_and_a_volume_stay_unless_told_otherwise():
    keep = {"helm.sh/resource-policy": "keep"}
    assert helm.pick(objects("teams"), "Namespace", "vision")["metadata"]["annotations"] == keep
    gone = objects("no-prometheus-operator")
    assert "annotations" not in helm.pick(gone, "Namespace", "vision")["metadata"]
    assert helm.pick(gone, "StatefulSet")["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete"
