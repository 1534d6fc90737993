"""Prometheus' own checker of rules: what a rule file says of made-up series, as text that promtool compares."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RUN_S = 300


def binary() -> str:
    """promtool in PATH, or what `make promtool` unpacked; the test is skipped where there is none."""
    unpacked = ROOT / ".cache/bin/promtool"
    found = shutil.which("promtool") or (str(unpacked) if unpacked.is_file() else None)
    if found is None:
        pytest.skip("no promtool here: `make promtool` unpacks Debian's")
    return found


def check_rules(path: Path) -> None:
    """Syntax of all its expressions and templates, and no two rules that record the same."""
    _run("check", "rules", str(path))


Alerts = Sequence[Mapping[str, str]]
LABELS = ("alertname", "severity", "namespace", "model", "role", "long")
"""Of alerts, as far as tests look at them."""


def check_alerts(
    rules: Path, scratch: Path, series: Mapping[str, str], expected: Mapping[str, Alerts], *, step: str = "1m"
) -> None:
    """Alerts that fire at given times, all of them.

    Args:
        series: selector -> values, one every `step`, in promtool's notation: `0+60x120` is 0, 60, 120, … 7200.
        expected: time -> labels of what fires, those of LABELS that it has.
        step: of scrapes and evaluations.
    """
    tests = [
        {
            "expr": f'group by ({", ".join(LABELS)}) (ALERTS{{alertstate="firing"}})',
            "eval_time": at,
            "exp_samples": [{"labels": json_labels(alert), "value": 1} for alert in alerts],
        }
        for at, alerts in expected.items()
    ]
    check_queries(rules, scratch, series, tests, step=step)


def check_queries(rules: Path, scratch: Path, series: Mapping[str, str], tests: Sequence[Mapping[str, object]], *, step="1m"):
    """Results of queries, in promtool's words: expr, eval_time, exp_samples."""
    _test(rules, scratch, series, step, {"promql_expr_test": list(tests)})


def check_annotations(rules: Path, scratch: Path, series: Mapping[str, str], at: str, alert: str, expected, *, step="1m"):
    """One alert with all its labels and texts."""
    _test(rules, scratch, series, step, {"alert_rule_test": [{"alertname": alert, "eval_time": at, "exp_alerts": expected}]})


def json_labels(labels: Mapping[str, str]) -> str:
    """As PromQL writes them."""
    return "{" + ", ".join(f"{name}={json.dumps(value)}" for name, value in labels.items()) + "}"


def _test(rules, scratch, series, step, what) -> None:
    path = scratch / "test.yaml"
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    one = {"interval": step, "input_series": inputs, **what}
    order = [group["name"] for group in yaml.safe_load(rules.read_text(encoding="utf-8"))["groups"]]  # else a random one
    head = {"rule_files": [str(rules.resolve())], "evaluation_interval": step, "group_eval_order": order}
    path.write_text(yaml.safe_dump({**head, "tests": [one]}), encoding="utf-8")
    _run("test", "rules", str(path))


def _run(*args: str) -> None:
    done = subprocess.run([binary(), *args], capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
