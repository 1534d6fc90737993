"""Why a step of a cluster's run failed, or does not start, where its record cannot say: KFP's log of it, or KFP itself.

A step that is killed, that has no image, that may not start: it leaves no line in the record. KFP's API gives no reasons
either, but it hands out the workflow that it made of the run, whose nodes have them; and it puts what a step printed into the
store, beside its artifacts.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slipway.errors import ClusterError, ConfigError, NotFoundError, StoreError
from slipway.runs import kfp_api
from slipway.runs import record as records
from slipway.runs.parameters import families
from slipway.settings import Settings
from slipway.store.uri import Store, open_store

KFP_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WAITING, RETRIED, ENDED_BADLY = "waiting", "Retried", ("Failed", "Error")
"""Status of a step whose pod does not start, or is to be made again; phases of a workflow's node."""
UNDER_WAY = ("PodInitializing", "ContainerCreating")
"""Messages of a pod that is on its way."""
SAYS_NOTHING = re.compile(r"(main: )?Error( \(exit code \d+\))?")
"""A node's message where the step's own log knows more."""
RAISED = re.compile(r"[\w.]*(Error|Exception|Interrupt|Exit)\b(: .*)?")
LOG = "executor-logs"
LONGEST = 500
"""Characters of a reason."""


@dataclass(frozen=True, slots=True)
class Node:
    """What KFP knows of one step's pod."""

    phase: str
    """Argo's: Pending, Running, Succeeded, Failed, Error; RETRIED where another attempt follows the failed one."""
    message: str


def explained(run_id: str, steps: dict[str, dict[str, Any]], settings: Settings) -> dict[str, dict[str, Any]]:
    """The steps' records, completed: a failed step has its `error`, also where it could not write one.

    Records of steps that wrote none have `run_id`, `step`, `status` and `error` alone; `status` may be `waiting` then.
    """
    if not KFP_ID.fullmatch(run_id):
        return steps
    known = nodes(run_id, settings)
    told = dict(steps)
    for step in dict.fromkeys((*steps, *known)):
        entry = steps.get(step, {"run_id": run_id, "step": step})
        if "error" in entry or entry.get("status") == records.SUCCEEDED:
            continue
        node = known.get(step)
        started = str(entry.get("started", ""))
        if node is None:
            status, why = records.FAILED, _logged(run_id, step, settings, since=started)
        elif node.phase in (RETRIED, *ENDED_BADLY):
            said = _logged(run_id, step, settings, since=started) if SAYS_NOTHING.fullmatch(node.message) else ""
            status, why = records.FAILED, said or node.message or node.phase
            if node.phase == RETRIED:
                status, why = WAITING, f"to be tried again after: {why}"
        else:
            status, why = WAITING, node.message if node.phase == "Pending" else ""
        if why:
            told[step] = {**entry, "status": status, "error": {"type": "StepFailedError", "message": why}}
    return told


def nodes(run_id: str, settings: Settings) -> dict[str, Node]:
    """Step -> its pod's latest node, in the order they started; empty where KFP is not known, or does not answer or know."""
    try:
        answer = kfp_api.get(settings, f"/apis/v1beta1/runs/{run_id}")
        found = json.loads(answer.json()["pipeline_runtime"]["workflow_manifest"])["status"]["nodes"]
    except (ConfigError, ClusterError, KeyError, TypeError, ValueError):  # a refusal has no workflow
        return {}
    pods = [node for node in found.values() if node.get("type") == "Pod" and node.get("phase") not in ("Omitted", "Skipped")]
    latest: dict[str, Node] = {}
    for pod in sorted(pods, key=lambda n: str(n.get("startedAt") or "")):
        step, phase = _step(pod, found), str(pod.get("phase", ""))
        if phase in ENDED_BADLY and found.get(str(pod.get("boundaryID", "")), {}).get("phase") == "Running":
            phase = RETRIED
        message = _line(str(pod.get("message") or ""))
        if step:
            latest[step] = Node(phase, "" if message in UNDER_WAY else message)
    return latest


def _step(node: dict[str, Any], found: dict[str, Any]) -> str:
    """The step whose driver or executor a pod is; empty for the run's own."""
    while node:
        name = re.sub(r"\(\d+\)$", "", str(node.get("displayName", "")))  # the number of the attempt
        if name != "executor":
            name = name.removesuffix("-driver")
            break
        node = found.get(str(node.get("boundaryID", "")), {})
    else:
        return ""
    step = name.replace("-", "_")
    if step == "root" or step.startswith("condition"):
        return ""
    return "train" if step.startswith("train_") else step


def _logged(run_id: str, step: str, settings: Settings, *, since: str) -> str:
    """What the step's latest attempt raised, or the last it printed; empty when KFP has put no log of it into the store.

    Args:
        since: ISO 8601; older logs are of attempts before. Empty: any log.
    """
    oldest = datetime.fromisoformat(since).timestamp() if since else 0.0
    try:
        store = open_store(settings.store)
        for family in families():
            below = f"{kfp_api.ARTIFACTS}/slipway-{family}/{run_id}"
            task = step.replace("_", "-") + (f"-{family}" if step == "train" else "")
            times = {
                key: entry.modified
                for key, entry in store.entries(below).items()
                if f"/{task}/" in key and LOG in key.rpartition("/")[2] and entry.modified >= oldest
            }
            if times:
                return _reason(store, max(times, key=lambda key: times[key]))
    except StoreError:
        pass  # one reason less is no reason to fail
    return ""


def _reason(store: Store, key: str) -> str:
    try:
        lines = [line.strip() for line in store.get_bytes(key).decode(errors="replace").splitlines() if line.strip()]
    except NotFoundError:
        return ""
    raised = [line for line in lines if RAISED.fullmatch(line)]
    return _line((raised or lines or [""])[-1])


def _line(text: str) -> str:
    return " ".join(text.split())[:LONGEST]
