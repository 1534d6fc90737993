"""All services: is it there, is it asked, is it fast, does it fail, what is left of its budget."""

from slipway.monitor.pages.common import EVERY_NAMESPACE, SERVICE, may_fail, slow
from slipway.monitor.panels import Dashboard, Panel
from slipway.monitor.slo import Slo, Table


def overview(table: Table) -> Dashboard:
    """Every namespace, or one."""
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
                    red_above=may_fail(table),
                    queries={SERVICE: f"slipway:errors:ratio_rate5m{{{of}}}"},
                ),
                Panel(
                    title="99 % are faster than",
                    unit="s",
                    red_above=slow(table),
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


def _budget(slo: Slo, of: str) -> Panel:
    what = "5xx answers" if slo.bound_s is None else f"requests over {slo.bound_s:g} s"
    return Panel(
        title=f"Error budget left: {slo.name}",
        queries={"{{namespace}}/{{model}}": f'slipway:slo_budget:left{{slo="{slo.name}", {of}}}'},
        unit="percentunit",
        red_below=0.0,
        description=f"Of the {slo.budget:.2%} of {what} that {slo.window_days} days may have; below 0 the objective is missed.",
    )
