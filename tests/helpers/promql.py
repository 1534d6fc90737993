"""What a PromQL expression asks for, as far as our own are written: metrics, and the labels they are asked by."""

import json
import re
from collections.abc import Mapping

import yaml

_STRING = r'"(?:[^"\\]|\\.)*"'
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_RANGE = re.compile(r"\[[^\]]*\]")
_SELECTOR = re.compile(rf"(?<![\w:])([a-zA-Z_:][\w:]*)\s*(\{{(?:[^}}\"]|{_STRING})*\}})?(?!\s*\(|[\w:])")
_MATCHER = re.compile(rf"(\w+)\s*(=~|!~|!=|=)\s*({_STRING})")
_WORDS = {"and", "or", "unless", "bool", "inf", "nan"}


def selectors(expr: str) -> list[tuple[str, dict[str, tuple[str, str]]]]:
    """Each metric of an expression, with its matchers: label -> (operator, value)."""
    text = _RANGE.sub("", _GROUPING.sub(" ", expr))
    found = []
    for name, matchers in _SELECTOR.findall(text):
        if name.lower() not in _WORDS and not (not matchers and re.fullmatch(r"e\d*", name)):
            found.append((name, {label: (op, value[1:-1]) for label, op, value in _MATCHER.findall(matchers)}))
    return found


def expressions(texts: Mapping[str, str]) -> dict[str, str]:
    """Where -> PromQL, of everything that `monitor.render.rendered` gives."""
    groups = yaml.safe_load(texts["rules.yaml"])["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    found = {f"rule {rule.get('record') or rule['alert']} {i}": rule["expr"] for i, rule in enumerate(rules)}
    for name, page in ((name, json.loads(text)) for name, text in texts.items() if name.endswith(".json")):
        for panel in page["panels"]:
            for target in panel.get("targets", []):
                found[f"{name}: {panel['title']} {target['refId']}"] = target["expr"]
        for variable in page["templating"]["list"]:
            if variable["type"] == "query":
                metric, _, label = variable["query"].removeprefix("label_values(").removesuffix(")").rpartition(", ")
                found[f"{name}: variable {variable['name']}"] = f"group by ({label}) ({metric})"
    return found


def without_variables(expr: str) -> str:
    """Grafana's own durations in a number of ours, so that Prometheus can parse it."""
    return expr.replace("$__rate_interval", "5m")
