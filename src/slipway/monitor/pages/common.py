"""What pages share: choices at the top, legends, bounds for lines in pictures."""

from slipway.monitor.panels import Variable
from slipway.monitor.slo import Table

NAMESPACE = Variable(name="namespace", query="label_values(model_info, namespace)")
EVERY_NAMESPACE = Variable(name="namespace", query="label_values(model_info, namespace)", all=True)
MODEL = Variable(name="model", query='label_values(model_info{namespace="$namespace"}, model)')
ONE = 'namespace="$namespace", model="$model"'
ROLE = "{{model}} {{role}}"
SERVICE = "{{namespace}}/{{model}} {{role}}"
RATE = "$__rate_interval"
"""Grafana's: long enough for four scrapes, and no shorter than a pixel."""


def slow(table: Table) -> float | None:
    """The strictest bound, for a line in pictures of latency."""
    return min((slo.bound_s for slo in table.slos if slo.bound_s is not None), default=None)


def may_fail(table: Table) -> float | None:
    """The smallest budget of errors."""
    return min((slo.budget for slo in table.slos if slo.bound_s is None), default=None)
