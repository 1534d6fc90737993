"""The Grafana dashboards: all services, one model, a canary beside the stable one, the platform below them."""

from typing import Any

from slipway.monitor.panels import Dashboard, Panel, Variable, dashboard
from slipway.monitor.rules import QUANTILES
from slipway.monitor.slo import Slo, Table

NAMESPACE = Variable(name="namespace", query="label_values(model_info, namespace)")
EVERY_NAMESPACE = Variable(name="namespace", query="label_values(model_info, namespace)", all=True)
MODEL = Variable(name="model", query='label_values(model_info{namespace="$namespace"}, model)')
ONE = 'namespace="$namespace", model="$model"'
ROLE = "{{model}} {{role}}"
SERVICE = "{{namespace}}/{{model}} {{role}}"
RATE = "$__rate_interval"
"""Grafana's: long enough for four scrapes, and no shorter than a pixel."""


def dashboards(table: Table) -> dict[str, dict[str, Any]]:
    """File name without its end -> the dashboard."""
    pages = (_overview(table), _model(table), _canary(table), _platform())
    return {page.uid: dashboard(page) for page in pages}


def _slow(table: Table) -> float | None:
    """The strictest bound, for a line in pictures of latency."""
    return min((slo.bound_s for slo in table.slos if slo.bound_s is not None), default=None)


def _may_fail(table: Table) -> float | None:
    """The smallest budget of errors."""
    return min((slo.budget for slo in table.slos if slo.bound_s is None), default=None)


def _budget(slo: Slo, of: str) -> Panel:
    what = "5xx answers" if slo.bound_s is None else f"requests over {slo.bound_s:g} s"
    return Panel(
        title=f"Error budget left: {slo.name}",
        queries={"{{namespace}}/{{model}}": f'slipway:slo_budget:left{{slo="{slo.name}", {of}}}'},
        unit="percentunit",
        red_below=0.0,
        description=f"Of the {slo.budget:.2%} of {what} that {slo.window_days} days may have; below 0 the objective is missed.",
    )


def _overview(table: Table) -> Dashboard:
    of = 'namespace=~"$namespace"'
    return Dashboard(
        uid="overview",
        title="Slipway / Services",
        description="Every served model: is it there, is it asked, is it fast, does it fail, what is left of its budget.",
        variables=[EVERY_NAMESPACE],
        rows={
            "Now": [
                Panel(
                    title="Models ready",
                    kind="stat",
                    width=4,
                    height=4,
                    queries={"models": f"count(group by (namespace, model) (model_info{{{of}}}))"},
                ),
                Panel(
                    title="Servers scraped",
                    kind="stat",
                    width=4,
                    height=4,
                    queries={"up": f'sum(up{{slipway_model!="", {of}}})'},
                ),
                Panel(
                    title="Servers not scraped",
                    kind="stat",
                    width=4,
                    height=4,
                    red_above=1,
                    queries={"down": f'count(up{{slipway_model!="", {of}}} == 0) or vector(0)'},
                ),
                Panel(
                    title="Requests/s",
                    kind="stat",
                    width=4,
                    height=4,
                    unit="reqps",
                    queries={"requests": f"sum(slipway:requests:rate5m{{{of}}})"},
                ),
                Panel(
                    title="Alerts",
                    kind="table",
                    width=8,
                    height=4,
                    queries={
                        "": "sum by (alertname, severity, namespace, model, role) "
                        f'(ALERTS{{alertname=~"Slipway.+", {of}, alertstate="firing"}})'
                    },
                    description="Each has a section in docs/runbook.md.",
                ),
            ],
            "Objectives": [_budget(slo, of) for slo in table.slos],
            "Services": [
                Panel(title="Requests/s", unit="reqps", queries={SERVICE: f"slipway:requests:rate5m{{{of}}}"}),
                Panel(
                    title="Failed (5xx)",
                    unit="percentunit",
                    red_above=_may_fail(table),
                    queries={SERVICE: f"slipway:errors:ratio_rate5m{{{of}}}"},
                ),
                Panel(
                    title="99 % are faster than",
                    unit="s",
                    red_above=_slow(table),
                    queries={SERVICE: f'slipway:duration_seconds:quantile5m{{quantile="0.99", {of}}}'},
                ),
                Panel(
                    title="Share of time spent waiting for a thread",
                    unit="percentunit",
                    red_above=0.5,
                    queries={SERVICE: f"slipway:queue:ratio_rate5m{{{of}}}"},
                    description="Above a half for long: more replicas, more cores, or a faster variant.",
                ),
            ],
        },
    )


def _model(table: Table) -> Dashboard:
    buckets = f"inference_request_duration_seconds_bucket{{{ONE}}}"
    batches = {
        f"{what}, mean": f"sum(rate({name}_sum{{{ONE}}}[{RATE}])) / sum(rate({name}_count{{{ONE}}}[{RATE}]))"
        for what, name in (("a request", "inference_batch_size"), ("a call of the engine", "inference_engine_batch_size"))
    }
    return Dashboard(
        uid="model",
        title="Slipway / One model",
        description="Where the time of one model goes, what it answers, and which versions and pods answer.",
        variables=[NAMESPACE, MODEL],
        rows={
            "Served": [
                Panel(
                    title="Versions",
                    kind="table",
                    width=14,
                    height=6,
                    queries={"": f"sum by (role, version, digest, family, architecture, variant) (model_info{{{ONE}}})"},
                    description="The number is that of the pods that have proved this version and answer with it.",
                ),
                *(
                    Panel(
                        title=f"Budget left: {slo.name}",
                        kind="stat",
                        width=max(2, 10 // len(table.slos)),
                        height=6,
                        unit="percentunit",
                        red_below=0.0,
                        queries={slo.name: f'slipway:slo_budget:left{{slo="{slo.name}", {ONE}}}'},
                    )
                    for slo in table.slos
                ),
            ],
            "Requests": [
                Panel(
                    title="Requests/s by status",
                    unit="reqps",
                    stacked=True,
                    queries={"{{status}}": f"sum by (status) (rate(inference_requests_total{{{ONE}}}[{RATE}]))"},
                    description="4xx is the client's; 499: it went away; 503: refused; 504: its own deadline was missed.",
                ),
                Panel(
                    title="Requests/s by protocol",
                    unit="reqps",
                    stacked=True,
                    queries={"{{protocol}}": f"sum by (protocol) (rate(inference_requests_total{{{ONE}}}[{RATE}]))"},
                ),
                Panel(
                    title="Duration",
                    unit="s",
                    red_above=_slow(table),
                    queries={
                        f"{q:.0%}": f"histogram_quantile({q:g}, sum by (le) (rate({buckets}[{RATE}])))" for q in QUANTILES
                    },
                ),
                Panel(
                    title="Requests by duration",
                    kind="heatmap",
                    queries={"{{le}}": f"sum by (le) (increase({buckets}[{RATE}]))"},
                    unit="short",
                ),
            ],
            "Where the time goes": [
                Panel(
                    title="Mean of each phase",
                    unit="s",
                    stacked=True,
                    queries={
                        "{{phase}}": f"sum by (phase) (rate(inference_phase_duration_seconds_sum{{{ONE}}}[{RATE}]))"
                        f" / on () group_left () sum(rate(inference_request_duration_seconds_count{{{ONE}}}[{RATE}]))"
                    },
                ),
                Panel(
                    title="Being worked on, and waiting",
                    queries={
                        "in flight {{pod}}": f"sum by (pod) (inference_in_flight{{{ONE}}})",
                        "queue {{pod}}": 'sum by (pod) (inference_queue_depth{namespace="$namespace", slipway_model="$model"})',
                    },
                ),
                Panel(
                    title="Items",
                    queries=batches,
                    description="A call of the engine holds items of several requests where that pays.",
                ),
                Panel(
                    title="Memory",
                    unit="bytes",
                    queries={
                        "{{pod}}": "sum by (pod) "
                        '(container_memory_working_set_bytes{namespace="$namespace", container="", pod!=""})'
                        f" * on (pod) group_left () group by (pod) (model_info{{{ONE}}})"
                    },
                    description="Of the pods that serve it; the limit is in the InferenceService.",
                ),
            ],
            "Answers": [
                Panel(
                    title="Share of each class",
                    unit="percentunit",
                    stacked=True,
                    queries={
                        "{{class}}": f"sum by (class) (rate(prediction_class_total{{{ONE}}}[{RATE}]))"
                        f" / on () group_left () sum(rate(prediction_class_total{{{ONE}}}[{RATE}]))"
                    },
                ),
                Panel(
                    title="Confidence",
                    unit="percentunit",
                    queries={
                        "mean {{role}}": f"slipway:confidence:mean5m{{{ONE}}}",
                        "10 % are below": "histogram_quantile(0.1, sum by (le) "
                        f"(rate(prediction_confidence_bucket{{{ONE}}}[{RATE}])))",
                    },
                ),
            ],
        },
    )


def _canary(table: Table) -> Dashboard:
    def difference(record: str) -> str:
        return f'{record}{{{ONE}, role="canary"}} - ignoring (role) {record}{{{ONE}, role="stable"}}'

    p99 = f'slipway:duration_seconds:quantile5m{{quantile="0.99", {ONE}'
    return Dashboard(
        uid="canary",
        title="Slipway / Canary",
        description="A canary beside the stable version: promote it when nothing here is worse, abort it when something is.",
        variables=[NAMESPACE, MODEL],
        since="now-1h",
        rows={
            "Canary less stable": [
                Panel(
                    title="Share of the requests that the canary gets",
                    kind="stat",
                    width=6,
                    height=4,
                    unit="percentunit",
                    queries={
                        "canary": f'sum(slipway:requests:rate5m{{{ONE}, role="canary"}})'
                        f" / sum(slipway:requests:rate5m{{{ONE}}})"
                    },
                    description="Beside the weight that the route was given.",
                ),
                Panel(
                    title="Failed (5xx)",
                    kind="stat",
                    width=6,
                    height=4,
                    unit="percentunit",
                    red_above=_may_fail(table),
                    queries={"more": difference("slipway:errors:ratio_rate5m")},
                ),
                Panel(
                    title="99 % are faster than",
                    kind="stat",
                    width=6,
                    height=4,
                    unit="s",
                    queries={"slower by": f'{p99}, role="canary"}} - ignoring (role) {p99}, role="stable"}}'},
                ),
                Panel(
                    title="Mean confidence",
                    kind="stat",
                    width=6,
                    height=4,
                    unit="percentunit",
                    queries={"more": difference("slipway:confidence:mean5m")},
                ),
            ],
            "Side by side": [
                Panel(title="Requests/s", unit="reqps", stacked=True, queries={ROLE: f"slipway:requests:rate5m{{{ONE}}}"}),
                Panel(
                    title="Failed (5xx)",
                    unit="percentunit",
                    red_above=_may_fail(table),
                    queries={ROLE: f"slipway:errors:ratio_rate5m{{{ONE}}}"},
                ),
                Panel(
                    title="Duration",
                    unit="s",
                    red_above=_slow(table),
                    queries={"{{role}} {{quantile}}": f"slipway:duration_seconds:quantile5m{{{ONE}}}"},
                ),
                Panel(
                    title="Mean time in the graph",
                    unit="s",
                    queries={
                        "{{role}} {{version}}": "sum by (role, version) "
                        f'(rate(inference_phase_duration_seconds_sum{{{ONE}, phase="model"}}[{RATE}])) / '
                        "sum by (role, version) "
                        f'(rate(inference_phase_duration_seconds_count{{{ONE}, phase="model"}}[{RATE}]))'
                    },
                ),
                Panel(
                    title="Share of each class",
                    kind="bargauge",
                    unit="percentunit",
                    queries={
                        "{{class}} {{role}}": f"sum by (class, role) (rate(prediction_class_total{{{ONE}}}[1h]))"
                        f" / on (role) group_left () sum by (role) (rate(prediction_class_total{{{ONE}}}[1h]))"
                    },
                    description="Over an hour. Both get the same kind of requests, so the shares should agree.",
                ),
                Panel(title="Mean confidence", unit="percentunit", queries={ROLE: f"slipway:confidence:mean5m{{{ONE}}}"}),
            ],
        },
    )


def _platform() -> Dashboard:
    of = 'namespace=~"$namespace"'
    per_pod = "{{namespace}}/{{pod}}"
    return Dashboard(
        uid="platform",
        title="Slipway / Platform",
        description="What the services stand on: scrapes, processors, memory, volumes, and what was not written.",
        variables=[Variable(name="namespace", query="label_values(container_memory_working_set_bytes, namespace)", all=True)],
        rows={
            "Scrapes": [
                Panel(title="Targets up", queries={"{{namespace}}/{{job}}": f"sum by (namespace, job) (up{{{of}}})"}),
                Panel(title="Targets down", red_above=1, queries={"{{namespace}}/{{pod}} {{job}}": f"up{{{of}}} == 0"}),
            ],
            "Pods": [
                Panel(
                    title="Processors used",
                    queries={
                        per_pod: "sum by (namespace, pod) "
                        f'(rate(container_cpu_usage_seconds_total{{{of}, container="", pod!=""}}[{RATE}]))'
                    },
                ),
                Panel(
                    title="Processors withheld",
                    unit="percentunit",
                    red_above=0.25,
                    queries={
                        per_pod: f"sum by (namespace, pod) (rate(container_cpu_cfs_throttled_periods_total{{{of}}}[{RATE}]))"
                        f" / sum by (namespace, pod) (rate(container_cpu_cfs_periods_total{{{of}}}[{RATE}]))"
                    },
                    description="Of pods with a processor limit: the share of periods in which they had to wait.",
                ),
                Panel(
                    title="Memory",
                    unit="bytes",
                    queries={
                        per_pod: f'sum by (namespace, pod) (container_memory_working_set_bytes{{{of}, container="", pod!=""}})'
                    },
                ),
                Panel(
                    title="Memory, of its limit",
                    unit="percentunit",
                    red_above=0.9,
                    queries={
                        per_pod: f'max by (namespace, pod) (container_memory_working_set_bytes{{{of}, container="", pod!=""}}'
                        f' / (container_spec_memory_limit_bytes{{{of}, container="", pod!=""}} > 0))'
                    },
                ),
            ],
            "Kept and lost": [
                Panel(
                    title="Volumes, free",
                    unit="percentunit",
                    red_below=0.1,
                    queries={
                        "{{namespace}}/{{persistentvolumeclaim}}": f"kubelet_volume_stats_available_bytes{{{of}}}"
                        f" / kubelet_volume_stats_capacity_bytes{{{of}}}"
                    },
                ),
                Panel(
                    title="Object store, free",
                    unit="percentunit",
                    red_below=0.1,
                    queries={
                        "{{namespace}}": f"minio_cluster_capacity_usable_free_bytes{{{of}}}"
                        f" / minio_cluster_capacity_usable_total_bytes{{{of}}}"
                    },
                    description="Where the chart's own MinIO is the store.",
                ),
                Panel(
                    title="Object store, requests that failed",
                    unit="reqps",
                    queries={"{{api}}": f"sum by (api) (rate(minio_s3_requests_errors_total{{{of}}}[{RATE}]))"},
                ),
                Panel(
                    title="Object store, requests",
                    unit="reqps",
                    queries={"{{api}}": f"sum by (api) (rate(minio_s3_requests_total{{{of}}}[{RATE}]))"},
                ),
                Panel(
                    title="Prediction log: lines dropped",
                    red_above=1,
                    queries={per_pod: f"sum by (namespace, pod) (increase(prediction_log_dropped_total{{{of}}}[{RATE}]))"},
                ),
            ],
        },
    )
