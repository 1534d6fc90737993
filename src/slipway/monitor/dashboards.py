"""The Grafana dashboards: all services, one model, a canary beside the stable one, the platform below them."""

from typing import Any

from slipway.monitor.pages.canary import canary
from slipway.monitor.pages.model import model
from slipway.monitor.pages.overview import overview
from slipway.monitor.pages.platform import platform
from slipway.monitor.panels import dashboard
from slipway.monitor.slo import Table


def dashboards(table: Table) -> dict[str, dict[str, Any]]:
    """File name without its end -> the dashboard."""
    pages = (overview(table), model(table), canary(table), platform())
    return {page.uid: dashboard(page) for page in pages}
