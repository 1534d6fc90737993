"""The rules as Prometheus evaluates them, over made-up series: what fires, what stays silent, what ends."""

import pytest
import yaml

from slipway.monitor import slo
from slipway.monitor.render import INTO, rendered
from tests.helpers import promtool

SERVED = 'namespace="team-a", model="parts", version="3", pod="p1", slipway_model="parts"'
PARTS = {"namespace": "team-a", "model": "parts"}
WINDOWS = {"1h": "critical", "6h": "critical", "1d": "warning", "3d": "warning"}


@pytest.fixture(scope="module")
def rules():
    """All of them, as the chart has them."""
    return promtool.ROOT / INTO / "rules.yaml"


@pytest.fixture(scope="module")
def some(rules, tmp_path_factory):
    """A file of the rules of some groups: evaluating the others over a day of minutes takes a minute."""

    def of(*groups):
        path = tmp_path_factory.mktemp("rules") / "rules.yaml"
        found = [g for g in yaml.safe_load(rules.read_text(encoding="utf-8"))["groups"] if g["name"] in groups]
        assert len(found) == len(groups)
        path.write_text(yaml.safe_dump({"groups": found}), encoding="utf-8")
        return path

    return of


@pytest.fixture(scope="module")
def objectives(some):
    """The rules of one objective, and all alerts on objectives."""
    return {
        kind: some(f"slipway-slo-{kind}", f"slipway-slo-{kind}-long", "slipway-objectives") for kind in ("latency", "errors")
    }


@pytest.fixture(scope="module")
def servers(some):
    return some("slipway-roles", "slipway-servers")


def burning(kind, *windows, role="stable"):
    name = {"errors": "SlipwayErrorBudgetBurn", "latency": "SlipwayLatencyBudgetBurn"}[kind]
    return [{"alertname": name, "severity": WINDOWS[w], **PARTS, "role": role, "long": w} for w in windows]


def traffic(kind, good, bad, *, role="stable"):
    """Series of requests of which some are bad; `good` and `bad` in promtool's notation, of equal length."""
    labels = f'{SERVED}, role="{role}", protocol="rest_v2"'
    if kind == "errors":
        return {
            f'inference_requests_total{{{labels}, status="200"}}': good,
            f'inference_requests_total{{{labels}, status="500"}}': bad,
        }
    return {
        f'inference_request_duration_seconds_bucket{{{labels}, le="0.25"}}': good,
        f'inference_request_duration_seconds_bucket{{{labels}, le="+Inf"}}': all_of(good, bad),
        f"inference_request_duration_seconds_count{{{labels}}}": all_of(good, bad),
    }


def all_of(good, bad):
    """The sum of two series in promtool's notation `START+STEPxN …`, part by part."""
    parts = []
    for one, other in zip(good.split(), bad.split(), strict=True):
        (first, times), (second, same) = one.split("x"), other.split("x")
        assert times == same
        (a, b), (c, d) = first.split("+"), second.split("+")
        parts.append(f"{int(a) + int(c)}+{int(b) + int(d)}x{times}")
    return " ".join(parts)


def test_every_rule_is_accepted_and_recorded_once(rules):
    promtool.check_rules(rules)


@pytest.mark.parametrize("kind", ["latency", "errors"])
def test_a_burning_budget_alerts_and_ends_with_the_fire(kind, objectives, tmp_path):
    """An hour of peace, an hour in which every fifth request is bad, peace again."""
    series = traffic(kind, "0+60x60 3600+48x60 6480+60x600", "0+0x60 0+12x60 720+0x600")
    expected = {
        "59m": [],
        "1h55m": burning(kind, "1h", "6h", "1d", "3d"),
        "2h15m": burning(kind, "6h", "1d", "3d"),  # the last five minutes are good
        "2h45m": burning(kind, "1d", "3d"),
        "8h30m": [],
    }
    promtool.check_alerts(objectives[kind], tmp_path, series, expected)


@pytest.mark.parametrize("kind", ["latency", "errors"])
def test_a_slow_leak_is_a_warning_and_wakes_nobody(kind, objectives, tmp_path):
    """For three days, four times as many are bad as the objective allows."""
    good, bad = {"latency": (480, 20), "errors": (4980, 20)}[kind]
    series = traffic(kind, f"0+{good}x144", f"0+{bad}x144")
    promtool.check_alerts(objectives[kind], tmp_path, series, {"3d": burning(kind, "1d", "3d")}, step="30m")


@pytest.mark.parametrize("kind", ["latency", "errors"])
def test_few_requests_alert_nobody(kind, objectives, tmp_path):
    """Four an hour, each second one bad."""
    series = traffic(kind, f"0+2x{4}", f"0+2x{4}")
    promtool.check_alerts(objectives[kind], tmp_path, series, {"4h": []}, step="1h")


def test_one_failed_request_alone_never_alerts(objectives, tmp_path):
    """A hundred an hour, for a day: enough for every window, and one of them fails."""
    series = traffic("errors", "0+100x12 1200+100x12", "0+0x12 1+0x12")
    ever = 'count_over_time(ALERTS{alertname="SlipwayErrorBudgetBurn"}[1d])'
    promtool.check_queries(
        objectives["errors"], tmp_path, series, [{"expr": ever, "eval_time": "1d", "exp_samples": []}], step="1h"
    )


def test_a_canary_that_fails_alerts_as_canary(objectives, tmp_path):
    series = traffic("errors", "0+60x120", "0+0x120") | traffic("errors", "0+10x120", "0+10x120", role="canary")
    expected = {"1h30m": burning("errors", "1h", "6h", "1d", "3d", role="canary")}
    promtool.check_alerts(objectives["errors"], tmp_path, series, expected)


def test_without_a_failure_the_error_ratio_is_0_and_not_absent(some, tmp_path):
    series = {f'inference_requests_total{{{SERVED}, role="stable", protocol="rest_v2", status="200"}}': "0+60x90"}
    labels = '{namespace="team-a", model="parts", role="stable"'
    tests = [
        {"expr": name, "eval_time": "80m", "exp_samples": [{"labels": f"{name}{labels}{more}}}", "value": 0}]}
        for name, more in (("slipway:slo_bad:ratio_rate1h", ', slo="errors"'), ("slipway:errors:ratio_rate5m", ""))
    ]
    promtool.check_queries(some("slipway-roles", "slipway-slo-errors"), tmp_path, series, tests)


def test_requests_for_models_that_are_not_served_are_nobodys(rules, tmp_path):
    labels = 'namespace="team-a", model="unknown", pod="p1", role="stable", protocol="rest_v2", status="503"'
    promtool.check_alerts(rules, tmp_path, {f"inference_requests_total{{{labels}}}": "0+600x120"}, {"2h": []})


def test_half_of_the_budget_is_left(some, tmp_path):
    """For two days, one request of two hundred took too long; one of a hundred may."""
    series = traffic("latency", "0+995x576", "0+5x576")
    left = {"labels": '{namespace="team-a", model="parts", slo="latency"}', "value": 0.5}
    tests = [{"expr": "round(slipway:slo_budget:left, 0.001)", "eval_time": "2d", "exp_samples": [left]}]
    promtool.check_queries(some("slipway-budgets"), tmp_path, series, tests, step="5m")


def test_an_objective_that_names_a_model_takes_it_from_the_common_one(tmp_path):
    table = tmp_path / "slo.yaml"
    slow = "{name: slow, what: latency, objective: 0.99, bound_s: 1, models: [parts]}"
    common = "{name: common, what: latency, objective: 0.99, bound_s: 0.25}"
    burn = "{factor: 10, long: 30m, short: 5m, severity: critical}"
    table.write_text(f"slos: [{common}, {slow}]\nburn_rates: [{burn}]\n")
    rules = tmp_path / "rules.yaml"
    rules.write_text(rendered(slo.load(table))["rules.yaml"])
    series = {}
    for model in ("parts", "words"):
        for le, values in (("0.25", "0+0x60"), ("1.0", "0+60x60"), ("+Inf", "0+60x60")):
            series[f'inference_request_duration_seconds_bucket{{namespace="n", model="{model}", role="stable", le="{le}"}}'] = (
                values
            )
        series[f'inference_request_duration_seconds_count{{namespace="n", model="{model}", role="stable"}}'] = "0+60x60"
    alert = {
        "alertname": "SlipwayLatencyBudgetBurn",
        "severity": "critical",
        "namespace": "n",
        "model": "words",
        "role": "stable",
    }
    promtool.check_alerts(rules, tmp_path, series, {"1h": [{**alert, "long": "30m"}]})


def up(pod, values, *, model="parts", role="stable"):
    return {f'up{{namespace="team-a", job="models", pod="{pod}", slipway_model="{model}", role="{role}"}}': values}


def info(pod, values="1x600"):
    return {f'model_info{{namespace="team-a", model="parts", version="3", pod="{pod}"}}': values}


DOWN = {"alertname": "SlipwayModelDown", "severity": "critical", **PARTS}


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        pytest.param(
            up("p1", "1x60 _x400") | info("p1", "1x60 _x400"), {"59m": [], "1h20m": [DOWN], "7h30m": []}, id="target vanished"
        ),
        pytest.param(
            up("p1", "1x60 _x400") | up("p2", "_x55 1x400") | info("p1", "1x60") | info("p2"),
            {"1h20m": []},
            id="rolling update",
        ),
        pytest.param(
            up("p1", "1x400") | up("p2", "1x60 _x400", role="canary") | info("p1") | info("p2"),
            {"1h20m": []},
            id="canary ended",
        ),
        pytest.param(
            up("p1", "1x60 0x60 1x60") | info("p1"),
            {
                "1h30m": [DOWN, {"alertname": "SlipwayTargetDown", "severity": "warning", **PARTS, "role": "stable"}],
                "2h10m": [],
            },
            id="scrape fails",
        ),
        pytest.param(
            up("p1", "1x100") | up("p2", "0x100") | info("p1"),
            {"30m": [{"alertname": "SlipwayTargetDown", "severity": "warning", **PARTS, "role": "stable"}]},
            id="one pod of two",
        ),
        pytest.param(
            up("p1", "1x100") | up("p2", "0x15 _x80") | info("p1"),
            {"13m": [{"alertname": "SlipwayTargetDown", "severity": "warning", **PARTS, "role": "stable"}], "21m": []},
            id="bad pod replaced",
        ),
        pytest.param(
            up("p1", "1x100") | up("p2", "1x100") | info("p1"),
            {
                "5m": [],
                "15m": [{"alertname": "SlipwayModelNotReady", "severity": "warning", **PARTS, "role": "stable"}],
            },
            id="model not ready",
        ),
    ],
)
def test_servers_that_are_gone_silent_or_not_ready(series, expected, servers, tmp_path):
    promtool.check_alerts(servers, tmp_path, series, expected)


WARNING = {"severity": "warning", **PARTS, "role": "stable"}


def requests(status, values):
    return {f'inference_requests_total{{{SERVED}, role="stable", protocol="rest_v2", status="{status}"}}': values}


@pytest.mark.parametrize(("a_minute", "expected"), [(100, [{"alertname": "SlipwayQueueSaturated", **WARNING}]), (1, [])])
def test_a_queue_is_saturated_when_many_requests_wait_longer_than_they_are_worked_on(a_minute, expected, servers, tmp_path):
    phase = f'inference_phase_duration_seconds_sum{{{SERVED}, role="stable", phase="%s"}}'
    series = requests("200", f"0+{a_minute}x120") | {phase % "queue": "0+40x60 2400+0x60", phase % "model": "0+20x120"}
    promtool.check_alerts(servers, tmp_path, series, {"10m": [], "30m": expected, "1h20m": []})


@pytest.mark.parametrize(("a_minute", "fires"), [(5, False), (20, True)])
def test_refused_requests_are_told_above_one_in_a_hundred(a_minute, fires, servers, tmp_path):
    series = requests("200", "0+1000x60") | requests("503", f"0+{a_minute}x30 {30 * a_minute}+0x30")
    query = 'group by (alertname, role) (ALERTS{alertname="SlipwayRequestsRefused", alertstate="firing"})'
    told = [{"labels": '{alertname="SlipwayRequestsRefused", role="stable"}', "value": 1}] if fires else []
    tests = [{"expr": query, "eval_time": at, "exp_samples": want} for at, want in {"20m": told, "45m": []}.items()]
    promtool.check_queries(servers, tmp_path, series, tests)


def test_lines_that_the_prediction_log_drops_are_told(servers, tmp_path):
    dropped = 'prediction_log_dropped_total{namespace="team-a", pod="p1", slipway_model="parts", role="stable"}'
    told = {"9m": [], "20m": [{"alertname": "SlipwayPredictionLogDropped", **WARNING}], "1h": []}
    promtool.check_alerts(servers, tmp_path, {dropped: "0x10 0+5x10 50x60"}, told)


def test_an_alert_says_whose_how_much_and_where_to_read_on(objectives, tmp_path):
    series = traffic("errors", "0+90x60", "0+10x60")
    fast = {
        "exp_labels": {**burning("errors", "1h")[0], "slo": "errors", "short": "5m"},
        "exp_annotations": {
            "summary": "team-a/parts (stable): the budget of errors is used up more than 14.4 times as fast as it may be",
            "description": "10% of the requests of the last 1h failed, and the last 5m went on so; over 30 days 0.10% may.",
            "runbook_url": "docs/runbook.md#slipwayerrorbudgetburn",
        },
    }
    all_rules = yaml.safe_load(objectives["errors"].read_text(encoding="utf-8"))
    for group in all_rules["groups"]:
        group["rules"] = [r for r in group["rules"] if r.get("labels", {}).get("long", "1h") == "1h"]
    one = tmp_path / "rules.yaml"
    one.write_text(yaml.safe_dump(all_rules), encoding="utf-8")
    promtool.check_annotations(one, tmp_path, series, "50m", "SlipwayErrorBudgetBurn", [fast])
