"""What the compiler lets through and a cluster chokes on: the linter over compiled pipelines. Needs no kfp."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway.components.images import TRAIN_IMAGE
from slipway.deploy.pod import DIGEST
from slipway.errors import ConfigError

IR = dict[str, Any]
NEVER_CACHED = ("gate", "refuse", "register-model", "deploy-model")
"""Steps that look at the world as it is now: a cached answer would be about another day's champion."""
FIXED_TAG = re.compile(r"v?\d+\.\d+(\.\d+)?([-+._][A-Za-z0-9._-]+)?")


def load(path: Path) -> tuple[IR, IR]:
    """Both documents of a compiled pipeline: the pipeline, and what it asks of Kubernetes (empty when it asks nothing).

    Raises: ConfigError: the file is no compiled pipeline.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        documents = list(yaml.load_all(path.read_text(encoding="utf-8"), Loader=loader))
    except (OSError, yaml.YAMLError) as exc:
        raise ConfigError(f"{path}: not a compiled pipeline ({str(exc).splitlines()[0]}); run `make compile`") from exc
    if not documents or not isinstance(documents[0], dict) or "root" not in documents[0]:
        raise ConfigError(f"{path}: not a compiled pipeline (no root); run `make compile`")
    return documents[0], documents[1] if len(documents) > 1 else {}


def lint(ir: IR, platform: IR, *, submitting: bool) -> list[str]:
    """Findings, one line each; none means that the pipeline may be submitted.

    Args:
        submitting: images must be the real ones by now, not the placeholder that the golden files carry.
    """
    return [
        *_cycles(ir),
        *_half_conditions(ir),
        *_cached(ir),
        *_images(ir, submitting),
        *_accelerators(ir),
        *_limits(ir, platform),
        *_installs(ir),
    ]


def dags(ir: IR) -> Iterator[tuple[str, dict[str, IR]]]:
    """Name and tasks of the root and of every nested DAG."""
    yield "root", ir["root"].get("dag", {}).get("tasks", {})
    for name, component in ir.get("components", {}).items():
        if "dag" in component:
            yield name, component["dag"].get("tasks", {})


def containers(ir: IR) -> Iterator[tuple[str, IR]]:
    """Label and container of every executor."""
    for label, executor in ir.get("deploymentSpec", {}).get("executors", {}).items():
        if "container" in executor:
            yield label, executor["container"]


def _needs(task: IR) -> set[str]:
    """Tasks of the same DAG that `task` waits for."""
    inputs = task.get("inputs", {})
    values = [*inputs.get("parameters", {}).values(), *inputs.get("artifacts", {}).values()]
    sources = [v[kind] for v in values for kind in ("taskOutputParameter", "taskOutputArtifact") if kind in v]
    return {*task.get("dependentTasks", []), *(source["producerTask"] for source in sources)}


def _cycles(ir: IR) -> Iterator[str]:
    for name, tasks in dags(ir):
        waiting = {task: _needs(spec) & tasks.keys() for task, spec in tasks.items()}
        while ready := [task for task, needs in waiting.items() if not needs]:
            for task in ready:
                del waiting[task]
            waiting = {task: needs - set(ready) for task, needs in waiting.items()}
        if waiting:
            yield f"{name}: tasks wait for each other: {', '.join(sorted(waiting))}; remove one of the dependencies"


def _half_conditions(ir: IR) -> Iterator[str]:
    """A condition that cannot be resolved skips its branch, and the run succeeds: every If needs its Else."""
    for name, tasks in dags(ir):
        conditions = {t: spec["triggerPolicy"]["condition"] for t, spec in tasks.items() if _condition(spec)}
        known: list[str] = []
        complete = False
        for task in sorted(conditions, key=_number):
            negated = " && ".join(f"!({base})" for base in known)
            if known and conditions[task] == negated:
                complete = True
            else:
                known.append(conditions[task].removeprefix(f"{negated} && "))
        if conditions and not complete:
            yield f"{name}: condition without an Else: {known[0]}; add `dsl.Else()`, a skipped branch is no success"


def _condition(task: IR) -> str:
    condition: str = task.get("triggerPolicy", {}).get("condition", "")
    return condition


def _number(task: str) -> int:
    """KFP numbers branches in the order they are written."""
    digits = task.rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def _cached(ir: IR) -> Iterator[str]:
    for _, tasks in dags(ir):
        for task, spec in tasks.items():
            component = re.sub(r"-\d+$", "", spec["componentRef"]["name"].removeprefix("comp-"))
            if component in NEVER_CACHED and spec.get("cachingOptions", {}).get("enableCache"):
                yield f"{task}: caching is on, but it looks at the world as it is now; `set_caching_options(False)`"


def _images(ir: IR, submitting: bool) -> Iterator[str]:
    for label, container in containers(ir):
        image = container.get("image", "")
        if image == TRAIN_IMAGE:
            if submitting:
                hint = "set SLIPWAY_TRAIN_IMAGE to the real one by digest, or SLIPWAY_IMAGES"
                yield f"{label}: image '{image}' is the placeholder; {hint}"
            continue
        if problem := mutable(image):
            yield f"{label}: image '{image}' {problem}; name it by digest (NAME@sha256:…) or by a fixed version tag"


def mutable(image: str) -> str:
    """Why an image reference may mean something else tomorrow; empty when it may not."""
    name, at, digest = image.partition("@")
    if at:
        return "" if DIGEST.fullmatch(digest) else f"has a malformed digest '{digest}'"
    tag = name.rpartition("/")[2].partition(":")[2]
    if not tag:
        return "has no tag, which means latest" if name else "is empty"
    return "" if FIXED_TAG.fullmatch(tag) else f"has the tag '{tag}', which can move"


def _accelerators(ir: IR) -> Iterator[str]:
    for label, container in containers(ir):
        accelerator = container.get("resources", {}).get("accelerator")
        if accelerator is None:
            continue
        kind = accelerator.get("resourceType") or accelerator.get("type")
        count = accelerator.get("resourceCount") or accelerator.get("count")
        if not kind:
            yield f"{label}: accelerator limit {count} without a type; `set_accelerator_type('nvidia.com/gpu')`"
        elif not count or count == "0":
            yield f"{label}: accelerator '{kind}' without a limit; `set_accelerator_limit(1)`"


def _limits(ir: IR, platform: IR) -> Iterator[str]:
    executors = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    for label, container in containers(ir):
        if not int(executors.get(label, {}).get("activeDeadlineSeconds", 0)):
            yield f"{label}: no timeout; a pod that cannot start would be pending for ever; `kubernetes.set_timeout(…)`"
        resources = container.get("resources", {})
        if not (resources.get("resourceMemoryLimit") or resources.get("memoryLimit")):
            yield f"{label}: no memory limit; a step that grows would take the node down; `set_memory_limit(…)`"


def _installs(ir: IR) -> Iterator[str]:
    for label, container in containers(ir):
        if "pip install" in " ".join([*container.get("command", []), *container.get("args", [])]):
            yield f"{label}: installs packages at run time; put them into the image, `install_kfp_package=False`"
