"""Rules and dashboards beside a live server: what they ask for is there, and Grafana and Prometheus can read them."""

import base64
import json
import re
from collections import defaultdict
from itertools import combinations

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from slipway.monitor import slo
from slipway.monitor.metrics import DURATION_BUCKETS_S, PROTOCOLS
from slipway.monitor.render import INTO, main, rendered, stale
from slipway.server import grpc_server, people, v1, v2
from slipway.server.app import create_app
from slipway.server.models import served_model
from tests.helpers import promtool
from tests.helpers.bundles import make_bundle, make_items
from tests.helpers.promql import expressions, selectors, without_variables
from tests.helpers.servers import running

FOLDER = promtool.ROOT / INTO
MODELS_RULES = promtool.ROOT / "charts/slipway-models/templates/monitor.yaml"
RUNBOOK = promtool.ROOT / "docs" / "runbook.md"
OF_TARGETS = {"namespace", "pod", "job", "role", "slipway_model"}
"""Labels that Prometheus' operator and the PodMonitor add."""
ELSEWHERE = {
    "up": set(),
    "ALERTS": {"alertname", "alertstate", "severity", "model"},
    # the kubelet's
    "container_memory_working_set_bytes": {"container"},
    "container_spec_memory_limit_bytes": {"container"},
    "container_cpu_usage_seconds_total": {"container"},
    "container_cpu_cfs_throttled_periods_total": set(),
    "container_cpu_cfs_periods_total": set(),
    "kubelet_volume_stats_available_bytes": {"persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"persistentvolumeclaim"},
    # MinIO's
    "minio_cluster_capacity_usable_free_bytes": set(),
    "minio_cluster_capacity_usable_total_bytes": set(),
    "minio_s3_requests_errors_total": {"api"},
    "minio_s3_requests_total": {"api"},
}
"""Metrics of others, with the labels we ask them by; seen on a cluster."""


@pytest.fixture(scope="module")
def texts():
    return rendered(slo.load())


@pytest.fixture(scope="module")
def pages(texts):
    return {name: json.loads(text) for name, text in texts.items() if name.endswith(".json")}


@pytest.fixture(scope="module")
def rules(texts):
    return [rule for group in yaml.safe_load(texts["rules.yaml"])["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """Metric -> label -> values, of a server that was asked this and that."""
    model = served_model("shapes", str(make_bundle("cv", tmp_path_factory.mktemp("bundles") / "bundle")), version="3")
    (item,) = make_items("cv", 1)
    body = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(item).decode()]}]}
    with running(create_app([model])) as client:
        assert client.post("/v2/models/shapes/infer", json=body).status_code == 200
        assert client.post("/v2/models/shapes/infer", content=b"{}").status_code == 400
        text = client.get("/metrics").text
    found = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for label, value in sample.labels.items():
                found[sample.name][label].add(value)
            found[sample.name]  # it may have none
    return found


def test_the_files_of_the_chart_are_current(texts):
    assert stale(texts, FOLDER) == []


def test_every_metric_and_label_is_one_that_a_server_has(texts, rules, live):
    recorded = {rule["record"]: rule["expr"] for rule in rules if "record" in rule}
    wrong, asked = [], set()
    for where, expr in expressions(texts).items():
        for metric, matchers in selectors(expr):
            asked.add(metric)
            if metric in recorded:
                continue
            if metric in ELSEWHERE:
                wrong += [f"{where}: {metric}{{{label}}}" for label in set(matchers) - OF_TARGETS - ELSEWHERE[metric]]
            elif metric not in live:
                wrong.append(f"{where}: {metric}")
            else:
                wrong += [f"{where}: {metric}{{{label}}}" for label in set(matchers) - OF_TARGETS - set(live[metric])]
                wrong += [
                    f"{where}: {metric}{{{label}={value}}}"
                    for label, (operator, value) in matchers.items()
                    if label in ("phase", "le", "protocol") and operator == "=" and value not in live[metric][label]
                ]
    assert wrong == []
    assert set(recorded) <= asked, "recorded, and nobody asks for it"
    assert set(ELSEWHERE) <= asked


def test_a_metric_that_is_not_there_would_be_found():
    expr = 'sum by (model) (rate(gone_total{status=~"5..", a="{}"}[5m])) / 1e3 > (0.1 * here:x:rate5m) and on (pod) up'
    names = [name for name, _ in selectors(expr)]
    assert names == ["gone_total", "here:x:rate5m", "up"]
    assert selectors(expr)[0][1] == {"status": ("=~", "5.."), "a": ("=", "{}")}


def test_every_query_of_a_dashboard_is_promql(texts, tmp_path):
    queries = {w: e for w, e in expressions(texts).items() if "variable" not in w and not w.startswith("rule ")}
    recorded = [{"record": f"query:{i}", "expr": without_variables(e)} for i, e in enumerate(queries.values())]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}), encoding="utf-8")
    promtool.check_rules(path)


def test_dashboards_keep_grafanas_rules(pages):
    assert len({page["uid"] for page in pages.values()}) == len({page["title"] for page in pages.values()}) == len(pages)
    for name, page in pages.items():
        assert len(page["uid"]) <= 40, name
        ids = [panel["id"] for panel in page["panels"]]
        assert sorted(set(ids)) == sorted(ids), name
        known = {f"${v['name']}" for v in page["templating"]["list"]} | {"${datasource}", "$__rate_interval"}
        for panel in page["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24, (name, panel["title"])
            if panel["type"] == "row":
                continue
            assert panel["datasource"]["uid"] == "${datasource}", (name, panel["title"])
            assert len({t["refId"] for t in panel["targets"]}) == len(panel["targets"])
            for target in panel["targets"]:
                assert set(_variables(target["expr"])) <= known, (name, target["expr"])
        for one, other in combinations(page["panels"], 2):
            assert not _overlap(one["gridPos"], other["gridPos"]), (name, one["title"], other["title"])


def _variables(expr):
    return [word for word in expr.replace('"', " ").replace("[", " ").replace("]", " ").split() if word.startswith("$")]


def _overlap(a, b):
    return a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]


def test_protocols_of_objectives_are_those_of_the_server():
    assert {v2.PROTOCOL, grpc_server.PROTOCOL, v1.PROTOCOL, people.PROTOCOL} == set(PROTOCOLS)


def test_bounds_of_objectives_are_buckets_of_a_live_server(live):
    labels = live["inference_request_duration_seconds_bucket"]["le"]
    assert {float(value) for value in labels} == {*DURATION_BUCKETS_S, float("inf")}


def test_every_alert_has_its_section_in_the_runbook_and_no_other_has(rules):
    headings = [line.removeprefix("## ") for line in RUNBOOK.read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    alerts = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules if "alert" in rule}
    of_models = set(re.findall(r"alert: (\w+)", MODELS_RULES.read_text(encoding="utf-8")))
    assert {h for h in headings if h.startswith("Slipway")} == {*alerts, *of_models}
    assert alerts == {alert: f"docs/runbook.md#{alert.lower()}" for alert in alerts}


def test_render_writes_tells_what_is_stale_and_takes_another_table(tmp_path, capsys):
    table = tmp_path / "mine.yaml"
    table.write_text(slo.TABLE.read_text().replace("bound_s: 0.25 ", "bound_s: 0.5 "), encoding="utf-8")
    mine = ["--slos", str(table), "--into", str(tmp_path)]
    (tmp_path / "dashboards").mkdir()
    (tmp_path / "dashboards" / "old.json").write_text("{}")
    assert main([*mine, "--check"]) == 1
    assert "rules.yaml: stale; run `make monitoring`" in capsys.readouterr().err
    assert main(mine) == 0
    assert main([*mine, "--check"]) == 0
    assert 'le="0.5"' in (tmp_path / "rules.yaml").read_text()
    assert not (tmp_path / "dashboards" / "old.json").exists()
    assert main(["--into", str(tmp_path), "--check"]) == 1


def test_render_says_what_is_wrong_in_a_line(tmp_path, capsys):
    assert main(["--into", str(tmp_path / "nowhere")]) == 2
    assert main(["--slos", str(tmp_path / "none.yaml")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "nowhere is no folder" in lines[0]
    assert "none.yaml" in lines[1]
