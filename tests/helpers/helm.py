"""Helm for the chart tests: what a chart renders to, as plain data, with no cluster."""

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "charts"
RENDER_S = 60


class HelmError(AssertionError):
    """Helm refused; the message is its own."""


def binary() -> str:
    """$HELM_BIN, helm in PATH, or what `make helm` built; the test is skipped where there is none."""
    built = ROOT / ".cache/bin/helm"
    found = os.environ.get("HELM_BIN") or shutil.which("helm") or (str(built) if built.is_file() else None)
    if found is None:
        pytest.skip("no helm binary: run make helm")
    return found


def values_files(chart: str) -> list[Path]:
    """One file a supported configuration: `charts/<chart>/ci/*-values.yaml`."""
    return sorted((CHARTS / chart / "ci").glob("*-values.yaml"))


def lint(chart: str, *values: Path) -> str:
    """What `helm lint --strict` says. Raises: HelmError: it found something."""
    return _helm("lint", "--strict", str(CHARTS / chart), *_files(values))


def render(
    chart: str, *values: Path, namespace: str = "slipway", release: str = "slipway", again: bool = False, **sets: Any
) -> str:
    """The manifests as text. What was rendered before in this process is not rendered again.

    Args:
        again: do, all the same.
        sets: values by dotted name, with two underscores for a dot: `minio__enabled=False`.
    Raises: HelmError: the schema, or the chart, refuses the values.
    """
    given = [word for key, value in sets.items() for word in ("--set-json", f"{key.replace('__', '.')}={json.dumps(value)}")]
    run = _helm if again else _helm_once
    return run("template", release, str(CHARTS / chart), "--namespace", namespace, *_files(values), *given)


def template(chart: str, *values: Path, namespace: str = "slipway", release: str = "slipway", **sets: Any) -> list[dict]:
    """The objects of `render`."""
    text = render(chart, *values, namespace=namespace, release=release, **sets)
    return [found for found in yaml.safe_load_all(text) if found]


def refuses(said: str) -> pytest.RaisesExc[HelmError]:
    """A block in which Helm must refuse, with `said` somewhere in its message: `with helm.refuses("replicas"): …`."""
    return pytest.raises(HelmError, match=re.escape(said))


def open_objects(chart: str) -> list[str]:
    """Where the chart's schema takes a key that it does not know, as a path of the schema; a misspelt one would pass there."""
    return list(_open(json.loads((CHARTS / chart / "values.schema.json").read_text(encoding="utf-8")), ""))


def pick(objects: list[dict], kind: str, name: str = "", namespace: str = "") -> dict:
    """The one object of that kind, name and namespace."""
    found = [
        o
        for o in objects
        if o["kind"] == kind
        and (not name or o["metadata"]["name"] == name)
        and (not namespace or o["metadata"].get("namespace") == namespace)
    ]
    assert len(found) == 1, f"{len(found)} objects {kind} {namespace}/{name} among {[_where(o) for o in objects]}"
    return found[0]


def pods(objects: list[dict]) -> Iterator[tuple[str, dict]]:
    """Every pod spec with the place it is in, `Deployment slipway/slipway-mlflow`."""
    for found in objects:
        spec = found.get("spec") or {}
        if found["kind"] == "Pod":
            yield _where(found), spec
        elif found["kind"] == "CronJob":
            yield _where(found), spec["jobTemplate"]["spec"]["template"]["spec"]
        elif "template" in spec and "containers" in spec["template"].get("spec", {}):
            yield _where(found), spec["template"]["spec"]


def _open(node: Any, where: str) -> Iterator[str]:
    if isinstance(node, dict):
        if "properties" in node and node.get("additionalProperties") is not False:
            yield where
        for key, value in node.items():
            yield from _open(value, f"{where}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _open(value, f"{where}/{index}")


def _where(found: dict) -> str:
    meta = found["metadata"]
    return f"{found['kind']} {meta.get('namespace', '')}/{meta['name']}"


def _files(values: tuple[Path, ...]) -> list[str]:
    return [word for path in values for word in ("--values", str(path))]


def _helm(*arguments: str) -> str:
    done = subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=RENDER_S, check=False)
    if done.returncode:
        raise HelmError(f"helm {arguments[0]}: {done.stderr or done.stdout}")
    return done.stdout


_helm_once = functools.cache(_helm)
