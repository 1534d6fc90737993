"""What a PromQL expression asks for, as far as our own are written: metrics, and the labels they are asked by."""

import re

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


def without_variables(expr: str) -> str:
    """Grafana's own durations in a number of ours, so that Prometheus can parse it."""
    return expr.replace("$__rate_interval", "5m")
