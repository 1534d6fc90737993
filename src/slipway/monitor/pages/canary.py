"""A canary beside the stable version."""

from slipway.monitor.pages.common import MODEL, NAMESPACE, ONE, RATE, ROLE, may_fail, slow
from slipway.monitor.panels import Dashboard, Panel
from slipway.monitor.slo import Table


def canary(table: Table) -> Dashboard:
    """Differences first, then both."""

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
                    red_above=may_fail(table),
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
                    red_above=may_fail(table),
                    queries={ROLE: f"slipway:errors:ratio_rate5m{{{ONE}}}"},
                ),
                Panel(
                    title="Duration",
                    unit="s",
                    red_above=slow(table),
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
