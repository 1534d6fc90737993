"""From nothing to a served model that is replaced: what the README promises of a cluster."""

import base64
import math
import os
import subprocess
from collections.abc import Iterator

import grpc
import httpx
import numpy as np
import pytest

from slipway import bundle
from slipway.monitor import slo
from slipway.monitor.render import rendered
from slipway.protocol.messages import SERVICE, message
from tests.e2e.served import (
    LOOK_S,
    MODELS,
    READY_S,
    asked,
    example,
    fetched,
    host,
    load,
    lost,
    outputs,
    rollout,
    run_job,
    upgrade_models,
)
from tests.helpers.kubectl import forwarded, get, kubectl
from tests.helpers.promql import expressions, selectors
from tests.helpers.servers import wait_until

pytestmark = pytest.mark.e2e
REQUESTS = 600
"""Over which a canary's share is counted."""
Z = 3.29
"""Two-sided 99.9 % of a normal distribution."""
TOLERANCE = 1e-5
"""Between probabilities of one engine on machines of one make."""
METRICS_S = 600
"""For all metrics to be there: rules of the longest windows are evaluated every five minutes, one on top of the other."""


@pytest.mark.parametrize("family", MODELS)
def test_a_champion_answers_over_rest_and_grpc_as_its_bundle_does(platform, rest, gateway, family, tmp_path):
    model = MODELS[family]
    said = asked(rest, platform, family)
    by_rest = np.reshape(outputs(said, "probabilities"), (len(outputs(said, "label")), -1))
    channel = grpc.insecure_channel(gateway, options=[("grpc.default_authority", host(platform, model)["Host"])])
    with channel:
        infer = channel.unary_unary(
            f"/{SERVICE}/ModelInfer", request_serializer=None, response_deserializer=message("ModelInferResponse").FromString
        )
        request = message("ModelInferRequest")(model_name=model)
        tensor = example(family)["inputs"][0]
        items = [v.encode() if family == "nlp" else base64.b64decode(v) for v in tensor["data"]]
        sent = request.inputs.add(name=tensor["name"], datatype="BYTES", shape=tensor["shape"])
        sent.contents.bytes_contents.extend(items)
        answer = infer(request.SerializeToString(), timeout=60)
    found = next(output for output in answer.outputs if output.name == "probabilities")
    by_grpc = np.reshape(found.contents.fp32_contents, by_rest.shape)
    np.testing.assert_allclose(by_grpc, by_rest, atol=TOLERANCE)
    np.testing.assert_allclose(
        bundle.load(fetched(platform, model, tmp_path / "release")).predict(items), by_rest, atol=TOLERANCE
    )


def test_the_charts_own_tests_pass(platform, served):
    """An object put and got by each team, a run logged and its file read, one inference of each model."""
    for release, namespace, pods in (("slipway", platform.namespace, 2), ("models", platform.team, 1)):
        done = subprocess.run(
            ["helm", "test", release, "-n", namespace, f"--timeout={READY_S}s"],
            capture_output=True,
            text=True,
            timeout=2 * READY_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("Phase:          Succeeded") >= pods, done.stdout


@pytest.fixture(scope="module")
def prometheus(platform) -> Iterator[httpx.Client]:
    """The cluster's, by its API."""
    space, _, service = os.environ.get("SLIPWAY_PROMETHEUS", "monitoring/prometheus-operated").partition("/")
    with forwarded(space, f"service/{service}", 9090) as address, httpx.Client(base_url=f"http://{address}") as client:
        yield client


def values(prometheus: httpx.Client, query: str) -> list[dict]:
    """The series of a query at this moment."""
    return prometheus.get("/api/v1/query", params={"query": query}).json()["data"]["result"]


def test_prometheus_has_the_latency_of_every_model(platform, rest, prometheus):
    for family in MODELS:
        asked(rest, platform, family)
    query = f'sum by (model) (inference_request_duration_seconds_count{{namespace="{platform.team}"}})'

    def models() -> set[str]:
        return {series["metric"]["model"] for series in values(prometheus, query) if float(series["value"][1]) > 0}

    wait_until(lambda: models() >= set(MODELS.values()), "Prometheus to have scraped every model", 180, LOOK_S)


def test_a_canary_gets_its_share_is_promoted_under_load_and_another_is_aborted(platform, rest):
    model = MODELS["nlp"]
    before = asked(rest, platform, "nlp")["model_version"]
    second = run_job(platform, "nlp", "--set", "seed=1", "--set", "promote=false")["version"]
    rollout(platform, "start", model, str(second), "--weight", "20")
    versions = [asked(rest, platform, "nlp")["model_version"] for _ in range(REQUESTS)]
    share = versions.count(str(second)) / REQUESTS
    assert set(versions) == {before, str(second)}
    assert abs(share - 0.2) <= Z * math.sqrt(0.2 * 0.8 / REQUESTS), share
    with load(rest, platform, "nlp") as answers:
        rollout(platform, "promote", model)
    assert not lost(answers), (len(lost(answers)), len(answers), lost(answers)[:3])
    assert {asked(rest, platform, "nlp")["model_version"] for _ in range(20)} == {str(second)}
    rollout(platform, "start", model, before, "--weight", "50")
    with load(rest, platform, "nlp") as answers:
        rollout(platform, "abort", model)
    assert not lost(answers), lost(answers)[:3]
    assert {asked(rest, platform, "nlp")["model_version"] for _ in range(20)} == {str(second)}


def ready_pods(platform, model: str) -> int:
    """How many pods of a model take requests."""
    pods = get(platform.team, "pods", "-l", f"app=isvc.{model}-predictor")["items"]
    conditions = [c for pod in pods if "deletionTimestamp" not in pod["metadata"] for c in pod["status"].get("conditions", [])]
    return sum(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def sized(served: dict, model: str, **sizes: int) -> dict:
    """The chart's values with other sizes of one model."""
    return {**served, "follow": [{**m, **(sizes if m["name"] == model else {})} for m in served["follow"]]}


def test_replicas_come_and_go_without_a_lost_request(platform, served, rest):
    model = MODELS["defect"]
    with load(rest, platform, "defect") as answers:
        upgrade_models(platform, sized(served, model, minReplicas=2))
        wait_until(lambda: ready_pods(platform, model) == 2, "a second pod", READY_S, LOOK_S)
        upgrade_models(platform, sized(served, model, minReplicas=1, maxReplicas=1))
        wait_until(lambda: ready_pods(platform, model) == 1, "one of the pods to go", READY_S, LOOK_S)
    assert not lost(answers), (len(lost(answers)), len(answers), lost(answers)[:3])


def test_load_brings_another_pod(platform, served, rest):
    if "v1beta1.metrics.k8s.io" not in kubectl("get", "apiservices", "-o", "name"):
        pytest.skip("no metrics API: autoscalers see nothing on this cluster")
    model = MODELS["nlp"]
    upgrade_models(platform, sized(served, model, scaleTarget=10, maxReplicas=2))
    with load(rest, platform, "nlp") as answers:
        wait_until(lambda: ready_pods(platform, model) == 2, "load to bring a second pod", READY_S, LOOK_S)
    assert not lost(answers), (len(lost(answers)), len(answers), lost(answers)[:3])


def test_prometheus_has_every_metric_of_rules_and_dashboards(rest, prometheus):
    wanted = {metric for expr in expressions(rendered(slo.load())).values() for metric, _ in selectors(expr)}
    wanted -= {"ALERTS"}  # there while something is wrong

    def missing() -> set[str]:
        return {metric for metric in wanted if not values(prometheus, f"last_over_time({metric}[1h])")}

    try:
        wait_until(lambda: not missing(), "Prometheus to have every metric", METRICS_S, LOOK_S)
    except AssertionError as exc:
        raise AssertionError(f"{exc}; missing: {sorted(missing())}") from exc
