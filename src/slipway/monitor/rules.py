"""Prometheus rules from the table of objectives: what is recorded, and what alerts; the same every time.

Labels: `namespace` and `pod` as the Prometheus operator sets them; `model`, `version` and `protocol` of the server's own
metrics; `role` (stable or canary) and `slipway_model` of the pod, which the PodMonitor of the chart puts on every series, `up`
included.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client.utils import floatToGoString

from slipway.monitor.metrics import UNKNOWN
from slipway.monitor.slo import BurnRate, Slo, Table, seconds

Rule = dict[str, Any]
BY = "namespace, model, role"
RUNBOOK = "docs/runbook.md"
"""Where the sections are that alerts point to; the chart puts the address of a copy in its place."""
QUANTILES = (0.5, 0.95, 0.99)
LONG_S = 24 * 3600
"""Windows from here on are evaluated every LONG_INTERVAL: they are dear, and do not move in half a minute."""
LONG_INTERVAL = "2m"
TILE = "5m"
"""The budget is counted in tiles of so much: a window of weeks over raw counters would read all of them each time."""
MIN_REQUESTS = 50
"""Within five minutes; shares of fewer requests alert nobody."""
PODS = 'up{slipway_model!=""}'


def groups(table: Table) -> list[dict[str, Any]]:
    """The rule groups, as a rule file and a PrometheusRule's spec have them."""
    found = [{"name": "slipway-roles", "rules": _roles()}]
    windows = sorted({w for burn in table.burn_rates for w in (burn.long, burn.short)}, key=seconds)
    short, long = ([w for w in windows if (seconds(w) >= LONG_S) is is_long] for is_long in (False, True))
    for slo in table.slos:
        found.append({"name": f"slipway-slo-{slo.name}", "rules": [r for w in short for r in _over(table, slo, w)]})
        if long:
            rules = [r for w in long for r in _over(table, slo, w)]
            found.append({"name": f"slipway-slo-{slo.name}-long", "interval": LONG_INTERVAL, "rules": rules})
    budgets = [r for slo in table.slos for r in _budget(table, slo)]
    found.append({"name": "slipway-budgets", "interval": TILE, "rules": budgets})
    burning = [_burn(slo, burn) for slo in table.slos for burn in table.burn_rates]
    return [*found, {"name": "slipway-objectives", "rules": burning}, {"name": "slipway-servers", "rules": _servers()}]


def matchers(table: Table, slo: Slo) -> str:
    """The label matchers of the requests that an objective is for, without braces."""
    but = (UNKNOWN, *table.named_elsewhere(slo))
    found = [_matcher("model", slo.models) if slo.models else _matcher("model", but, no=True)]
    if slo.protocols:
        found.append(_matcher("protocol", slo.protocols))
    return ", ".join(found)


def requests_of(slo: Slo) -> str:
    """The counter of an objective's requests."""
    return "inference_requests_total" if slo.what == "errors" else "inference_request_duration_seconds_count"


def _matcher(label: str, values: Sequence[str], *, no: bool = False) -> str:
    operator = ("!" if no else "=") + ("~" if len(values) > 1 else "=" if no else "")
    return f'{label}{operator}"{"|".join(values)}"'


def _over(table: Table, slo: Slo, window: str) -> list[Rule]:
    """What is recorded of an objective over one window; the number of requests where an alert asks for it."""
    of = matchers(table, slo)
    total = f"sum by ({BY}) (rate({requests_of(slo)}{{{of}}}[{window}]))"
    rules = [_record(f"slipway:slo_bad:ratio_rate{window}", f"{_bad(slo, of, window, BY, 'rate')}\n/\n{total}", slo=slo.name)]
    if any(window == burn.long for burn in table.burn_rates):
        count = f"sum by ({BY}) (increase({requests_of(slo)}{{{of}}}[{window}]))"
        rules.append(_record(f"slipway:slo_requests:increase{window}", count, slo=slo.name))
    return rules


def _bad(slo: Slo, of: str, window: str, by: str, function: str) -> str:
    """Bad requests: there is a number wherever there are requests, 0 where no series of a bad one exists yet."""
    total = f"sum by ({by}) ({function}({requests_of(slo)}{{{of}}}[{window}]))"
    if slo.bound_s is not None:
        bucket = f'inference_request_duration_seconds_bucket{{{of}, le="{floatToGoString(slo.bound_s)}"}}'
        return f"(\n  {total}\n  -\n  sum by ({by}) ({function}({bucket}[{window}]))\n)"
    bad = f'sum by ({by}) ({function}({requests_of(slo)}{{{of}, status=~"5.."}}[{window}]))'
    return f"(\n  {bad}\n  or\n  0 * {total}\n)"


def _budget(table: Table, slo: Slo) -> list[Rule]:
    """The share of the error budget that is left in its window; below 0 where more was used than there is."""
    of, by, label, days = matchers(table, slo), "namespace, model", f'{{slo="{slo.name}"}}', f"{slo.window_days}d"
    bad, total = "slipway:slo_bad:tile5m", "slipway:slo_requests:tile5m"
    used = f"sum_over_time({bad}{label}[{days}])\n/\n(sum_over_time({total}{label}[{days}]) > 0)"
    return [
        _record(bad, _bad(slo, of, TILE, by, "increase"), slo=slo.name),
        _record(total, f"sum by ({by}) (increase({requests_of(slo)}{{{of}}}[{TILE}]))", slo=slo.name),
        _record("slipway:slo_budget:left", f"1 - (\n{_indented(used)}\n) / {slo.budget:g}", slo=slo.name),
    ]


def _roles() -> list[Rule]:
    """What a canary is compared with the stable one by, over five minutes."""
    served = f'model!="{UNKNOWN}"'
    total = f"sum by ({BY}) (rate(inference_requests_total{{{served}}}[5m]))"
    phases = "inference_phase_duration_seconds_sum"
    buckets = f"sum by ({BY}, le) (rate(inference_request_duration_seconds_bucket{{{served}}}[5m]))"

    def share(status: str) -> str:
        some = f'sum by ({BY}) (rate(inference_requests_total{{{served}, status=~"{status}"}}[5m]))'
        return f"({some} or 0 * slipway:requests:rate5m)\n/\nslipway:requests:rate5m"

    return [
        _record("slipway:requests:rate5m", total),
        _record("slipway:errors:ratio_rate5m", share("5..")),
        _record("slipway:refused:ratio_rate5m", share("503")),
        *(
            _record("slipway:duration_seconds:quantile5m", f"histogram_quantile({q:g}, {buckets})", quantile=f"{q:g}")
            for q in QUANTILES
        ),
        _record(
            "slipway:queue:ratio_rate5m",
            f'sum by ({BY}) (rate({phases}{{phase="queue"}}[5m]))\n/\nsum by ({BY}) (rate({phases}[5m]))',
        ),
        _record(
            "slipway:confidence:mean5m",
            f"sum by ({BY}) (rate(prediction_confidence_sum[5m]))\n/\nsum by ({BY}) (rate(prediction_confidence_count[5m]))",
        ),
    ]


def _burn(slo: Slo, burn: BurnRate) -> Rule:
    label, threshold = f'{{slo="{slo.name}"}}', f"({burn.factor:g} * {slo.budget:g})"
    bad = "failed" if slo.bound_s is None else f"took longer than {slo.bound_s:g} s"
    return _alert(
        "SlipwayErrorBudgetBurn" if slo.bound_s is None else "SlipwayLatencyBudgetBurn",
        f"slipway:slo_bad:ratio_rate{burn.long}{label} > {threshold}\n"
        f"and slipway:slo_bad:ratio_rate{burn.short}{label} > {threshold}\n"
        f"and slipway:slo_requests:increase{burn.long}{label} >= {slo.needed(burn)}",
        labels={"severity": burn.severity, "long": burn.long, "short": burn.short},
        summary=f"{_SERVED}: the budget of {slo.name} is used up more than {burn.factor:g} times as fast as it may be",
        description=f"{{{{ $value | humanizePercentage }}}} of the requests of the last {burn.long} {bad}, "
        f"and the last {burn.short} went on so; over {slo.window_days} days {slo.budget:.2%} may.",
    )


_SERVED = "{{ $labels.namespace }}/{{ $labels.model }} ({{ $labels.role }})"
_POD = "{{ $labels.namespace }}/{{ $labels.pod }}"


def _servers() -> list[Rule]:
    """What no objective sees: nobody answers, or answers are about to be refused."""
    by_model, by_pod = "namespace, slipway_model", "namespace, pod, slipway_model, role"
    enough = f"and slipway:requests:rate5m * 300 >= {MIN_REQUESTS}"
    of_pod = {"model": "{{ $labels.slipway_model }}"}
    return [
        _alert(
            "SlipwayModelDown",
            f'group by ({by_model}) (last_over_time(up{{slipway_model!="", role="stable"}}[6h]))\n'
            f'unless group by ({by_model}) (up{{slipway_model!="", role="stable"}} == 1)',
            wait="10m",
            labels={"severity": "critical", **of_pod},
            summary="{{ $labels.namespace }}/{{ $labels.slipway_model }}: no server can be scraped any more",
            description="Within the last six hours there was one. Either its pods are gone or do not answer, or the PodMonitor "
            "is gone. A model that was removed on purpose is forgotten after six hours.",
        ),
        _alert(
            "SlipwayTargetDown",
            f"avg by ({by_pod}) (avg_over_time({PODS}[10m]) and {PODS}) < 0.5",
            wait="10m",
            labels={"severity": "warning", **of_pod},
            summary=f"{_POD}: cannot be scraped most of the time",
            description="{{ $value | humanizePercentage }} of the scrapes of the last ten minutes were answered.",
        ),
        _alert(
            "SlipwayModelNotReady",
            f"max by ({by_pod}) ({PODS} == 1)\nunless on (namespace, pod) model_info",
            wait="10m",
            labels={"severity": "warning", **of_pod},
            summary=f"{_POD}: the server runs, but its model is not ready",
            description="For ten minutes it has had no model that passed its self-test.",
        ),
        _alert(
            "SlipwayQueueSaturated",
            f"slipway:queue:ratio_rate5m > 0.5\n{enough}",
            wait="15m",
            labels={"severity": "warning"},
            summary=f"{_SERVED}: requests wait longer than they are worked on",
            description="{{ $value | humanizePercentage }} of their time requests wait for a thread.",
        ),
        _alert(
            "SlipwayRequestsRefused",
            f"slipway:refused:ratio_rate5m > 0.01\n{enough}",
            wait="5m",
            labels={"severity": "warning"},
            summary=f"{_SERVED}: requests are refused with 503",
            description="{{ $value | humanizePercentage }} of the requests of the last five minutes: overloaded, or not ready.",
        ),
        _alert(
            "SlipwayPredictionLogDropped",
            f"sum by ({by_pod}) (increase(prediction_log_dropped_total[15m])) > 0",
            wait="5m",
            labels={"severity": "warning", **of_pod},
            summary=f"{_POD}: sampled answers are not written to the prediction log",
            description="{{ $value | humanize }} of the last fifteen minutes; answers to clients are not affected.",
        ),
    ]


def _record(name: str, expr: str, **labels: str) -> Rule:
    return {"record": name, "expr": expr, **({"labels": labels} if labels else {})}


def _alert(name: str, expr: str, *, labels: Mapping[str, str], summary: str, description: str, wait: str = "") -> Rule:
    said = {"summary": summary, "description": description, "runbook_url": f"{RUNBOOK}#{name.lower()}"}
    return {"alert": name, "expr": expr, **({"for": wait} if wait else {}), "labels": {**labels}, "annotations": said}


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
