"""Pods from being scheduled to being ready: the same links for a server's pods and for a run's."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from slipway.deploy.kube import Kube
from slipway.doctor.causes import CONFIGURATION, DOWNLOAD, SERVER, UNSCHEDULABLE, advise
from slipway.doctor.objects import Object, condition, events, name_of, said_of
from slipway.doctor.walk import Finding, broken, ok, skipped
from slipway.errors import ClusterError

PULL = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError")
MOUNT_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
INIT, MAIN = "initContainerStatuses", "containerStatuses"


@dataclass(frozen=True)
class Pods:
    """Pods that belong together, and where they are."""

    kube: Kube
    namespace: str
    pods: Sequence[Object]


def scheduled(these: Pods) -> Finding:
    """Every pod has a node."""
    for pod in these.pods:
        found = condition(pod, "PodScheduled")
        if found.get("status") == "False":
            said = said_of(found)
            return broken(f"pod {name_of(pod)} has no node: {said}", advise(UNSCHEDULABLE, said, "see the message"))
        if not pod["spec"].get("nodeName"):
            return broken(f"pod {name_of(pod)} waits for the scheduler", "look again in a few seconds")
    nodes = {pod["spec"]["nodeName"] for pod in these.pods}
    return ok(f"{_count(these)} on {', '.join(sorted(nodes))}") if these.pods else skipped("there are no pods")


def pulled(these: Pods) -> Finding:
    """Every image is on its node."""
    for pod, status in _statuses(these, INIT, MAIN):
        waiting = status["state"].get("waiting") or {}
        if waiting.get("reason") in PULL:
            said = waiting.get("message") or ""
            if waiting["reason"] == "ImagePullBackOff":  # its message says only that; the event before it says why
                failed = [
                    e for e in events(these.kube, these.namespace, pod["metadata"]["name"], reasons=("Failed",)) if "pull" in e
                ]
                said = failed[0] if failed else said
            return broken(
                f"pod {name_of(pod)}, container {status['name']}: image {status['image']}: {waiting['reason']}: {said}",
                "is the name right, the image in that registry or on the node, and imagePullSecrets set? "
                "spec.predictor.model.image or the runtime's",
            )
    return (
        ok(", ".join(sorted({s["image"] for _, s in _statuses(these, MAIN)}))) if these.pods else skipped("there are no pods")
    )


def configured(these: Pods) -> Finding:
    """Every container could be made: its ConfigMaps, Secrets, volumes and user are there."""
    for pod, status in _statuses(these, INIT, MAIN):
        waiting = status["state"].get("waiting") or status["state"].get("terminated") or {}
        if waiting.get("reason") in CONFIG:
            said = said_of(waiting)
            return broken(
                f"pod {name_of(pod)}, container {status['name']}: {said}", advise(CONFIGURATION, said, "see the message")
            )
        if waiting.get("reason") == "ContainerCreating":
            failed = events(these.kube, these.namespace, pod["metadata"]["name"], reasons=MOUNT_EVENTS)
            if failed:
                return broken(f"pod {name_of(pod)}: {failed[-1]}", advise(CONFIGURATION, failed[-1], "see the message"))
    return ok() if these.pods else skipped("there are no pods")


def initialised(these: Pods) -> Finding:
    """Every init container has done its work: KServe's fetches the model."""
    for pod, status in _statuses(these, INIT):
        ended = _ended(status)
        if ended and ended.get("exitCode"):
            said = last_words(these, pod, status)
            why = f"exit code {ended['exitCode']} {ended.get('reason', '')}, restarted {status['restartCount']} times: {said}"
            advice = advise(DOWNLOAD, f"{ended.get('reason', '')} {said}", _see(pod, status))
            return broken(f"pod {name_of(pod)}, init container {status['name']}: {why}", advice)
        if not status["state"].get("terminated"):
            return broken(f"pod {name_of(pod)}, init container {status['name']}: still at work", "look again in a minute")
    names = sorted({status["name"] for _, status in _statuses(these, INIT)})
    return ok(", ".join(names)) if names else skipped("there are no init containers")


def started(these: Pods) -> Finding:
    """Every container runs and its probes pass, or it ended well."""
    for pod in these.pods:
        if pod["status"].get("reason") and pod["status"].get("phase") == "Failed":  # evicted, or the node is lost
            return broken(f"pod {name_of(pod)}: {said_of(pod['status'])}", "free the node, or ask for what the pod really uses")
    for pod, status in _statuses(these, MAIN):
        where = f"pod {name_of(pod)}, container {status['name']}"
        ended = _ended(status)
        if status.get("ready") or (ended and ended is status["state"].get("terminated") and not ended.get("exitCode")):
            continue
        if ended and ended.get("reason") == "OOMKilled":
            limit, times = _limit(pod, status["name"]), status["restartCount"]
            return broken(
                f"{where}: killed for want of memory (OOMKilled), its limit is {limit}, restarted {times} times",
                "raise the memory limit: spec.predictor.model.resources of a service, pipelines/resources.py of a step",
            )
        if ended and (ended.get("exitCode") or status["state"].get("waiting")):
            said = last_words(these, pod, status)
            why = (
                f"ended with code {ended.get('exitCode')}, restarted {status['restartCount']} times: {said}{_probe(these, pod)}"
            )
            return broken(f"{where}: {why}", advise(SERVER, said, _see(pod, status)))
        if status["state"].get("running") is None:
            return broken(f"{where}: {said_of(status['state'].get('waiting') or {})}", "look again in a few seconds")
        said = last_words(these, pod, status)
        return broken(
            f"{where}: runs, but is not ready{_probe(these, pod)}; last line: {said}", advise(SERVER, said, _see(pod, status))
        )
    return ok(f"{_count(these)} ready") if these.pods else skipped("there are no pods")


def last_words(these: Pods, pod: Object, status: Any) -> str:
    """The line of a container's log that tells most: its last error, else its last line."""
    name, restarted = pod["metadata"]["name"], bool(status["restartCount"]) and not status["state"].get("terminated")
    try:
        lines = these.kube.log(these.namespace, name, status["name"], previous=restarted)
        lines = lines or these.kube.log(these.namespace, name, status["name"])
    except ClusterError as exc:
        return f"(its log cannot be read: {exc.said or exc})"
    return telling(lines)


def telling(lines: Sequence[str]) -> str:
    """The line of a log that tells most: the last that looks like an error, else the last."""
    plain = [line.strip() for line in map(_plain, lines)]
    errors = [line for line in plain if re.search(r"^error: |^[\w.]*(Error|Exception|Interrupt)\b.*:|\bError: ", line)]
    return (errors or plain or ["(it wrote nothing)"])[-1][:500]


def _plain(line: str) -> str:
    """The message of a line of JSON; others as they are."""
    try:
        value = json.loads(line)
    except ValueError:
        return line
    return str(value.get("message", line)) if isinstance(value, dict) else line


def _statuses(these: Pods, *kinds: str) -> Iterator[tuple[Object, Any]]:
    for kind in kinds:
        for pod in these.pods:
            for status in pod["status"].get(kind) or []:
                yield pod, status


def _ended(status: Any) -> Any:
    """How the container ended, now or before its last restart; None when it has not."""
    return status["state"].get("terminated") or (status.get("lastState") or {}).get("terminated")


def _probe(these: Pods, pod: Object) -> str:
    failed = events(these.kube, these.namespace, pod["metadata"]["name"], reasons=("Unhealthy",))
    return f" ({failed[-1]})" if failed else ""


def _limit(pod: Object, container: str) -> str:
    limits = [c.get("resources", {}).get("limits", {}) for c in pod["spec"]["containers"] if c["name"] == container]
    return str(limits[0].get("memory", "the node's memory")) if limits else "unknown"


def _see(pod: Object, status: Any) -> str:
    return f"kubectl -n {pod['metadata']['namespace']} logs {pod['metadata']['name']} -c {status['name']} shows more"


def _count(these: Pods) -> str:
    return f"{len(these.pods)} pod{'' if len(these.pods) == 1 else 's'}"
