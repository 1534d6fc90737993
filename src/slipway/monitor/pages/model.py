"""One model: where its time goes, what it answers, which versions and pods answer."""

from slipway.monitor.pages.common import MODEL, NAMESPACE, ONE, RATE, slow
from slipway.monitor.panels import Dashboard, Panel
from slipway.monitor.rules import QUANTILES
from slipway.monitor.slo import Table


def model(table: Table) -> Dashboard:
    """One model of one namespace."""
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
                    red_above=slow(table),
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
