"""What slipway-models renders to, for every configuration it supports, and that it is what slipway itself would apply."""

import importlib.util
import re

import pytest
import yaml

from slipway.deploy.follow import Followed
from slipway.deploy.manifest import inference_service, predictor
from slipway.deploy.route import Gateway, http_route
from slipway.server.main import arguments
from tests.helpers import helm, promtool

CHART = "slipway-models"
CI = {path.name.removesuffix("-values.yaml"): path for path in helm.values_files(CHART)}
TEAM = "vision"
DIGEST, OTHER = "a" * 64, "b" * 64


def objects(case: str = "default", **sets) -> list[dict]:
    return helm.template(CHART, CI[case], namespace=TEAM, release="models", **sets)


def model(name: str = "cv", **more) -> dict:
    return {"name": name, "release": f"s3://slipway/{name}", "digest": DIGEST, **more}


def unowned(found: dict) -> dict:
    """An object without what says who applied it."""
    labels = {k: v for k, v in found["metadata"]["labels"].items() if not re.match(r"app\.kubernetes\.io/|helm\.sh/", k)}
    return {**found, "metadata": {**found["metadata"], "labels": labels}}


@pytest.mark.parametrize("case", CI)
def test_lint_finds_nothing_and_two_renders_are_equal(case: str):
    helm.lint(CHART, CI[case])
    assert helm.render(CHART, CI[case], namespace=TEAM) == helm.render(CHART, CI[case], namespace=TEAM, again=True)


@pytest.mark.parametrize("case", CI)
def test_nothing_is_secret_and_no_right_goes_beyond_the_namespace(case: str):
    for found in objects(case):
        assert found["kind"] not in ("Secret", "Ingress", "ClusterRole", "ClusterRoleBinding", "Namespace"), found["metadata"]
        assert found["metadata"]["namespace"] == TEAM


@pytest.mark.parametrize("case", CI)
def test_every_pod_of_its_own_is_restricted_and_knows_its_size(case: str):
    for where, pod in helm.pods(objects(case)):
        assert pod["securityContext"]["runAsNonRoot"], where
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", where
        assert pod["enableServiceLinks"] is False, where
        assert pod["automountServiceAccountToken"] is ("-follower" in where), where
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"], where
            assert security["allowPrivilegeEscalation"] is False, where
            assert security["capabilities"] == {"drop": ["ALL"]}, where
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), where
            assert "memory" in container["resources"]["limits"], where


@pytest.mark.parametrize("role", ["stable", "canary"])
def test_service_is_the_one_that_slipway_would_apply(role: str):
    canary = {"release": "s3://slipway/other", "digest": OTHER, "version": 8, "weight": 20}
    sizes = {"minReplicas": 2, "maxReplicas": 5, "scaleTarget": 70, "cpu": "1", "memory": "2Gi", "serviceAccount": "reader"}
    found = helm.pick(
        objects(models=[model(version=7, **sizes, canary=canary)]),
        "InferenceService",
        "cv-canary" if role == "canary" else "cv",
    )
    ours = inference_service(
        name="cv",
        release_uri="s3://slipway/other" if role == "canary" else "s3://slipway/cv",
        namespace=TEAM,
        digest=OTHER if role == "canary" else DIGEST,
        version="8" if role == "canary" else "7",
        role=role,
        service_account="reader",
        cpu="1",
        memory="2Gi",
        min_replicas=1 if role == "canary" else 2,
        max_replicas=5,
        scale_target=70,
    )
    assert unowned(found) == unowned(ours)


def test_service_without_a_version_or_sizes_is_so_too():
    found = helm.pick(objects(models=[model()]), "InferenceService")
    ours = inference_service(name="cv", release_uri="s3://slipway/cv", namespace=TEAM, digest=DIGEST)
    assert unowned(found) == unowned(ours)


@pytest.mark.parametrize("weight", [0, 20, 100])
@pytest.mark.parametrize("timeout_s", [0, 60])
def test_route_is_the_one_that_slipway_would_apply(weight: int, timeout_s: int):
    canary = {"release": "s3://slipway/other", "digest": OTHER, "weight": weight}
    gateway = {"namespace": "infra", "name": "gw", "domain": "models.example", "timeoutSeconds": timeout_s}
    found = helm.pick(objects(models=[model(canary=canary)], gateway=gateway), "HTTPRoute", "cv")
    entry = Gateway(namespace="infra", name="gw", domain="models.example", timeout_s=timeout_s)
    assert unowned(found) == unowned(http_route("cv", TEAM, entry, canary_percent=weight))


def test_labels_of_services_do_not_change_with_the_chart():
    """They are their pods' labels: each change of one restarts every model."""
    for found in objects("pinned"):
        if found["kind"] == "InferenceService":
            assert not {"helm.sh/chart", "app.kubernetes.io/version"} & found["metadata"]["labels"].keys()


def test_server_understands_the_runtimes_arguments_and_takes_the_name_from_the_label():
    runtime = helm.pick(objects("follow"), "ServingRuntime")
    container = runtime["spec"]["containers"][0]
    template = "{{index .Labels `slipway.model`}}"
    assert f"{template}=/mnt/models" in container["args"]
    assert '"' not in template  # KServe parses the container as JSON, in which it would be escaped
    parsed = arguments([*(a.replace(template, "cv") for a in container["args"]), "--model-version=7"])
    assert (parsed.host, parsed.port, parsed.grpc_port, parsed.max_requests) == ("0.0.0.0", 8080, 8081, 512)
    assert parsed.releases == ["cv=/mnt/models"]
    assert container["image"] == f"registry.example.com/ml/slipway-serve@sha256:{'1' * 64}"
    assert [(p["name"], p["containerPort"]) for p in container["ports"]] == [("http", 8080), ("grpc", 8081)]
    assert [f["autoSelect"] for f in runtime["spec"]["supportedModelFormats"]] == [False]
    assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]


def test_runtime_and_service_agree():
    found = objects(models=[model()])
    runtime, service = helm.pick(found, "ServingRuntime"), helm.pick(found, "InferenceService")
    asked = service["spec"]["predictor"]["model"]
    assert asked["runtime"] == runtime["metadata"]["name"]
    assert asked["modelFormat"]["name"] == runtime["spec"]["supportedModelFormats"][0]["name"]
    assert asked["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert asked["securityContext"] == runtime["spec"]["containers"][0]["securityContext"]


def test_follower_is_told_its_models_as_slipway_reads_them(tmp_path):
    from slipway.cli.deploy import _of_file

    found = objects("follow")
    entries = tmp_path / "follow.yaml"
    entries.write_text(helm.pick(found, "ConfigMap", "models-follower")["data"]["follow.yaml"])
    assert _of_file(entries) == [
        Followed(name="cv-digits", min_replicas=2),
        Followed(name="nlp-reviews", alias="challenger", cpu="250m", memory="512Mi"),
    ]
    pod = helm.pick(found, "Deployment", "models-follower")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][:3] == ["slipway", "deploy", "--watch"]
    assert container["image"] == f"registry.example.com/ml/slipway-mlflow@sha256:{'2' * 64}"
    env = {e["name"]: e["value"] for e in container["env"]}
    assert env["SLIPWAY_GATEWAY"] == "kserve/kserve-ingress-gateway"
    assert (env["SLIPWAY_GATEWAY_DOMAIN"], env["SLIPWAY_GATEWAY_TIMEOUT_S"]) == ("models.example.com", "0")
    assert env["MLFLOW_TRACKING_URI"] == "https://mlflow.example.com"


def test_followers_command_line_is_one_that_slipway_takes():
    from typer.testing import CliRunner

    from slipway.cli import app

    (container,) = helm.pick(objects("follow"), "Deployment")["spec"]["template"]["spec"]["containers"]
    words = [*container["command"], *container["args"]][1:]
    words[words.index("--file=/etc/slipway/follow.yaml")] = "--file=/nowhere"
    result = CliRunner().invoke(app(), words)
    assert "--file /nowhere: cannot be read" in str(result.exception), result.output


def test_follower_may_touch_its_models_and_delete_only_their_canaries():
    found = objects("mixed")
    rules = helm.pick(found, "Role", "models-follower")["rules"]
    assert all(rule["resourceNames"] and "*" not in rule["verbs"] for rule in rules)
    named = {name for rule in rules for name in rule["resourceNames"]}
    services = {"defect-steel", "defect-steel-canary"}
    assert named == services | {*map(predictor, services), "slipway-model-defect-steel"}
    deleting = [rule["resourceNames"] for rule in rules if "delete" in rule["verbs"]]
    assert deleting == [["defect-steel-canary"]]


def test_what_follows_is_applied_by_the_follower_alone():
    found = objects("mixed")
    assert [o["metadata"]["name"] for o in found if o["kind"] == "InferenceService"] == ["cv-parts"]
    assert not [o for o in objects("follow") if o["kind"] in ("InferenceService", "HTTPRoute")]


def test_every_model_has_a_budget_over_its_pods():
    for case in ("pinned", "follow"):
        budgets = {o["metadata"]["name"]: o["spec"] for o in objects(case) if o["kind"] == "PodDisruptionBudget"}
        names = {e["name"] for e in yaml.safe_load(CI[case].read_text()).get("models" if case == "pinned" else "follow")}
        assert budgets.keys() == names
        assert all(spec["selector"]["matchLabels"] == {"slipway.model": name} for name, spec in budgets.items())


@pytest.mark.parametrize(("case", "names"), [("pinned", "models"), ("follow", "follow")])
def test_a_model_of_the_values_that_is_never_scraped_alerts_and_one_that_was_does_not(case, names, tmp_path):
    first, *others = sorted(entry["name"] for entry in yaml.safe_load(CI[case].read_text())[names])
    rules = tmp_path / "rules.yaml"
    found = helm.pick(objects(case, monitoring__runbook="https://wiki.example.com/runbook"), "PrometheusRule")
    rules.write_text(yaml.safe_dump(found["spec"]))
    promtool.check_rules(rules)
    alerts = [
        {"alertname": "SlipwayModelMissing", "severity": "warning", "namespace": TEAM, "model": n} for n in (first, *others)
    ]
    scraped = f'up{{namespace="{TEAM}", slipway_model="{first}", pod="a"}}'
    promtool.check_alerts(rules, tmp_path, {"up": "1x20"}, {"14m": [], "16m": alerts})
    promtool.check_alerts(rules, tmp_path, {scraped: "_x10 0 1 _x700"}, {"30m": alerts[1:], "6h": alerts[1:], "6h40m": alerts})
    links = {rule["annotations"]["runbook_url"] for group in found["spec"]["groups"] for rule in group["rules"]}
    assert links == {"https://wiki.example.com/runbook#slipwaymodelmissing"}
    assert not [o for o in objects("default") if o["kind"] == "PrometheusRule"], "without models there is nothing to miss"


def test_monitor_puts_role_and_model_on_every_series():
    (endpoint,) = helm.pick(objects(), "PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == "http"
    assert endpoint["relabelings"] == [{"sourceLabels": ["__meta_kubernetes_pod_label_slipway_role"], "targetLabel": "role"}]
    assert helm.pick(objects(), "PodMonitor")["spec"]["podTargetLabels"] == ["slipway.model"]


def test_helm_test_asks_every_model():
    pod = helm.pick(objects("mixed"), "Pod", "models-test-infer")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["containers"][0]["args"] == ["cv-parts", "defect-steel"]
    compile(helm.pick(objects("mixed"), "ConfigMap", "models-test-infer")["data"]["infer.py"], "infer.py", "exec")


def test_helm_tests_script_needs_nothing_that_the_image_lacks():
    spec = importlib.util.spec_from_file_location("infer", helm.CHARTS / CHART / "files/tests/infer.py")
    infer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(infer)
    assert infer.main([]) == 0


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ({"gateway__domian": "x"}, "domian"),
        ({"models": [model(replicas=2)]}, "replicas"),
        ({"models": [model(digest="abc")]}, "abc"),
        ({"models": [model(release="/home/me/x")]}, "/home/me/x"),
        ({"models": [model("CV")]}, "CV"),
        ({"models": [{"name": "cv"}]}, "release"),
        ({"models": [model(canary={"release": "s3://x", "digest": OTHER, "weight": 101})]}, "101"),
        ({"models": [model(canary={"release": "s3://x", "digest": OTHER, "wieght": 1})]}, "wieght"),
        ({"follow": [{"name": "cv", "version": 3}]}, "version"),
        ({"images": {"serve": {"tag": "latest"}}}, "tag"),
        ({"runtime__args": ["oops"]}, "oops"),
        ({"models": [model(), model()]}, "models[1]: 'cv' is models[0] already; a model's service has one owner"),
        ({"models": [model()], "follow": [{"name": "cv"}]}, "'cv' is follow[0] already"),
        ({"models": [model("x-canary")]}, "must not end with -canary"),
        ({"follow": [{"name": "c" * 40}]}, "together at most 45 characters, got 46"),
        ({"models": [model(minReplicas=4)]}, "models[0]: minReplicas 4 is above maxReplicas 3"),
        ({"models": [model(canary={"release": "s3://x", "digest": DIGEST})]}, "is the release that 'cv' serves already"),
    ],
)
def test_a_wrong_value_is_refused_by_name(sets: dict, said: str):
    with helm.refuses(said):
        objects(**sets)


def test_every_object_of_the_schema_refuses_what_it_does_not_know():
    assert helm.open_objects(CHART) == []
