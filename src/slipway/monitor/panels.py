"""Grafana's JSON of panels and dashboards, as far as ours go: plain data, ids by order, nothing of a certain Grafana's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 41
"""Of Grafana 11.6; later ones migrate it as they load it."""
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
"""Whatever the reader chooses at the top of the page."""
WIDTH = 24
"""Of Grafana's grid."""
PREFIX = "slipway-"
"""Of uids: the address of a dashboard, at most 40 characters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One picture of queries."""

    title: str
    queries: Mapping[str, str]
    """Legend -> PromQL; `{{label}}` in a legend is that label's value."""
    unit: str = "short"
    """Grafana's name: reqps, s, percentunit, bytes, …"""
    kind: str = "timeseries"
    """Grafana's: timeseries, stat, table, heatmap or bargauge."""
    width: int = 12
    height: int = 8
    description: str = ""
    """What it says and when to worry; shown behind the panel's (i)."""
    red_above: float | None = None
    red_below: float | None = None
    stacked: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """A choice at the top of the page, out of the values of a label."""

    name: str
    query: str
    """As in Grafana: label_values(metric, label)."""
    all: bool = False
    """Whether all of them may be chosen, as `.+`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dashboard:
    """One page."""

    uid: str
    title: str
    description: str
    variables: Sequence[Variable]
    rows: Mapping[str, Sequence[Panel]]
    """Heading -> panels, laid out from left to right."""
    since: str = "now-6h"
    tags: Sequence[str] = field(default=("slipway",))


def dashboard(page: Dashboard) -> dict[str, Any]:
    """The page as Grafana imports or provisions it; its `id` is the Grafana's own business, its `uid` is ours."""
    panels: list[dict[str, Any]] = []
    y = 0
    for heading, row in page.rows.items():
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": heading,
                "collapsed": False,
                "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
                "panels": [],
            }
        )
        y += 1
        x = height = 0
        for panel in row:
            if x + panel.width > WIDTH:
                x, y, height = 0, y + height, 0
            place = {"h": panel.height, "w": panel.width, "x": x, "y": y}
            panels.append({"id": len(panels) + 1, **_panel(panel), "gridPos": place})
            x, height = x + panel.width, max(height, panel.height)
        y += height
    return {
        "uid": PREFIX + page.uid,
        "title": page.title,
        "description": page.description,
        "tags": [*page.tags],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # one cross-hair for all panels
        "timezone": "browser",
        "time": {"from": page.since, "to": "now"},
        "timepicker": {},
        "refresh": "30s",
        "fiscalYearStartMonth": 0,
        "links": [
            {
                "title": "Slipway",
                "type": "dashboards",
                "tags": ["slipway"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
                "icon": "external link",
                "targetBlank": False,
                "tooltip": "",
                "url": "",
            }
        ],
        "annotations": {"list": []},
        "templating": {"list": [_datasource(), *(_variable(v) for v in page.variables)]},
        "panels": panels,
    }


def _panel(panel: Panel) -> dict[str, Any]:
    instant = panel.kind in ("stat", "table", "bargauge")
    targets = [
        {
            "refId": chr(ord("A") + i),
            "datasource": DATASOURCE,
            "expr": expr,
            "legendFormat": legend,
            "instant": instant,
            "range": not instant,
            "format": {"table": "table", "heatmap": "heatmap"}.get(panel.kind, "time_series"),
            "editorMode": "code",
        }
        for i, (legend, expr) in enumerate(panel.queries.items())
    ]
    defaults: dict[str, Any] = {"unit": panel.unit, "custom": {}, "mappings": [], "thresholds": _thresholds(panel)}
    if panel.kind == "table":
        defaults["custom"] = {"align": "auto", "inspect": False}
    if panel.kind == "timeseries":
        defaults["min"] = 0
        defaults["custom"] = {
            "drawStyle": "line",
            "fillOpacity": 20 if panel.stacked else 0,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if len(defaults["thresholds"]["steps"]) == 1 else "line"},
        }
        if panel.red_below is not None:  # a budget may be overdrawn
            del defaults["min"]
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[panel.kind],
        "transformations": _MERGED if panel.kind == "table" else [],
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    """Green, and red from a bound on; a colour needs no legend where one bound says it all."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_above is not None:
        steps.append({"color": "red", "value": panel.red_above})
    if panel.red_below is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.red_below}]
    return {"mode": "absolute", "steps": steps}


_REDUCE = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"], "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": _REDUCE,
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
        "wideLayout": True,
    },
    "bargauge": {
        "reduceOptions": _REDUCE,
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
        "minVizWidth": 8,
        "minVizHeight": 16,
        "maxVizHeight": 300,
        "namePlacement": "auto",
        "sizing": "auto",
        "legend": {"displayMode": "list", "placement": "bottom", "calcs": [], "showLegend": False},
    },
    "table": {
        "frameIndex": 0,
        "showHeader": True,
        "cellHeight": "sm",
        "footer": {"show": False, "reducer": ["sum"], "countRows": False},
    },
    "heatmap": {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "steps": 64, "reverse": False, "fill": "dark-orange"},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "showValue": "never",
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": "s"},
    },
}
_MERGED = [
    {"id": "merge", "options": {}},
    {"id": "organize", "options": {"excludeByName": {"Time": True, "__name__": True}, "indexByName": {}, "renameByName": {}}},
]


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
    }


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.name.capitalize(),
        "type": "query",
        "datasource": DATASOURCE,
        "definition": variable.query,
        "query": variable.query,
        "hide": 0,
        "includeAll": variable.all,
        **({"allValue": ".+"} if variable.all else {}),
        "multi": False,
        "options": [],
        "refresh": 2,  # when the time range changes: a model that was removed is still there yesterday
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
    }
