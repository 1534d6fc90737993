"""`slipway doctor run`: from a run's record to the step, the pod or the log that says why it did not succeed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from slipway.deploy.kube import Kube, path
from slipway.doctor import pods
from slipway.doctor.causes import CONFIGURATION, KILLED, REFUSED, UNSCHEDULABLE, advise
from slipway.doctor.pods import Pods
from slipway.doctor.walk import Finding, broken, ok, skipped
from slipway.runs import kfp_api, reasons
from slipway.runs import record as records
from slipway.settings import Settings
from slipway.store.uri import Store, open_store

RUN_LABEL = "pipeline/runid"
"""That KFP puts on a run's pods."""
SUCCEEDED, AT_WORK = "SUCCEEDED", ("RUNNING", "PENDING")
STEP_ADVICE: Mapping[str, str] = {
    "GateRefusedError": "the gate works as meant: slipway report shows the numbers, slipway options gate the rules",
    "DataError": "mend the data it names, and run again",
    "ConfigError": "mend the option it names, and run again",
    "StoreError": "slipway doctor store; then run again: what is finished is found again",
    "TrackingError": "slipway doctor cluster looks at MLflow; then run again: what is finished is found again",
    "ClusterError": "slipway doctor endpoint MODEL tells why it is not ready",
}


@dataclass
class Run:
    """A run, and where its traces are."""

    run_id: str
    settings: Settings
    kube: Kube | None
    """None: there is no cluster to look at."""
    namespace: str

    @cached_property
    def store(self) -> Store:
        """Of this machine's settings."""
        return open_store(self.settings.store)

    @cached_property
    def steps(self) -> dict[str, dict[str, Any]]:
        """Records of its steps; empty when none has started."""
        return records.peek(self.store, self.run_id)

    @cached_property
    def kfp(self) -> Mapping[str, Any] | None:
        """What the KFP API says of it; None when it is not asked, or does not know it."""
        if not self.settings.kfp_host:
            return None
        answer = kfp_api.get(self.settings, f"/apis/v2beta1/runs/{self.run_id}")
        return dict(answer.json()) if answer.is_success else None

    @property
    def state(self) -> str:
        """KFP's state of the run; empty when unknown."""
        return str((self.kfp or {}).get("state") or "").upper()

    @property
    def done(self) -> bool:
        """Whether there is nothing to find: every trace says that it succeeded."""
        statuses = {step["status"] for step in self.steps.values()}
        return statuses == {records.SUCCEEDED} and self.state in ("", SUCCEEDED)

    @cached_property
    def pods(self) -> Pods | None:
        """Its pods; None without a cluster."""
        if self.kube is None:
            return None
        found = self.kube.list(path("v1", self.namespace, "pods"), labels=f"{RUN_LABEL}={self.run_id}")
        return Pods(self.kube, self.namespace, found)


def recorded(r: Run) -> Finding:
    """Every step of its record in the store succeeded."""
    if not r.steps and not r.settings.kfp_host:
        known = [run.run_id for run in records.list_runs(r.store)][-3:]
        latest = f"; the latest are {', '.join(known)}" if known else ""
        return broken(
            f"{r.store.uri}/runs has no run '{r.run_id}'{latest}",
            "slipway runs lists them; for one on a cluster set SLIPWAY_STORE and SLIPWAY_KFP_HOST",
        )
    failed = [step for step in r.steps.values() if step["status"] == records.FAILED]
    if failed:
        step = max(failed, key=lambda s: str(s["finished"]))
        kind, message = step["error"]["type"], step["error"]["message"]
        advice = STEP_ADVICE.get(
            kind, f"slipway show {r.run_id} --json has the traceback" if "traceback" in step["error"] else "see the message"
        )
        return broken(f"step {step['step']}, attempt {step['attempt']}: {kind}: {message}", advice)
    return ok(", ".join(f"{name} {step['status']}" for name, step in r.steps.items()) or "no step has started yet")


def known(r: Run) -> Finding:
    """KFP knows the run and does not say that it failed without a trace."""
    if not r.settings.kfp_host:
        return skipped("SLIPWAY_KFP_HOST is not set: a local run")
    if r.kfp is None:
        if r.steps:
            return skipped(f"KFP at {r.settings.kfp_host} does not know it: a local run, or one deleted there")
        return broken(
            f"neither {r.store.uri}/runs nor KFP at {r.settings.kfp_host} knows '{r.run_id}'", "slipway runs lists the store's"
        )
    return ok(f"KFP says {r.state or 'nothing yet'}")


def of_waiting(check: Callable[[Pods], Finding]) -> Callable[[Run], Finding]:
    """A link of `pods` about those of its pods that wait; the others have their node and image."""

    def of_run(r: Run) -> Finding:
        if r.done or r.pods is None:
            return _nothing(r)
        waiting = [pod for pod in r.pods.pods if pod["status"].get("phase") == "Pending"]
        return check(Pods(r.pods.kube, r.pods.namespace, waiting)) if waiting else ok("no pod waits")

    return of_run


def ran(r: Run) -> Finding:
    """No container was killed for want of memory or ended by itself with a failure."""
    if r.done or r.pods is None or r.state in AT_WORK:  # a step that is tried again leaves failed pods, too
        return _nothing(r)
    for pod in r.pods.pods:
        for status in pod["status"].get("containerStatuses") or []:
            ended = status["state"].get("terminated") or {}
            if ended.get("exitCode"):
                return pods.started(Pods(r.pods.kube, r.pods.namespace, [pod]))
    return ok(f"{len(r.pods.pods)} pods")


def told(r: Run) -> Finding:
    """Neither KFP nor its log of a step says that one failed or may not start."""
    if r.done or not r.settings.kfp_host:
        return _nothing(r)
    for name, step in reasons.explained(r.run_id, r.steps, r.settings).items():
        if error := step.get("error"):
            why = f"step {name}, {step['status']}: {error['message']}"
            return broken(
                why, advise((*REFUSED, *UNSCHEDULABLE, *CONFIGURATION, *KILLED), why, f"slipway show {r.run_id} shows more")
            )
    return ok("nothing more")


def ended(r: Run) -> Finding:
    """It succeeded, or is on its way."""
    running = [name for name, step in r.steps.items() if step["status"] == records.RUNNING]
    if running and r.state and r.state not in AT_WORK:
        return broken(
            f"step {running[-1]} ended before it could say why: killed, or out of memory?",
            "run it again: finished steps are found again",
        )
    if r.state.startswith("CANCEL"):
        return broken("it was cancelled", "run it again: finished steps are found again")
    if r.state and r.state not in (SUCCEEDED, *AT_WORK):
        return broken(
            f"KFP says {r.state}, and no step, pod or log says why",
            f"see {r.settings.kfp_host.rstrip('/')}/#/runs/details/{r.run_id}",
        )
    if running and not r.state:
        return ok(f"step {running[-1]} is at work, or was killed: nothing here tells")
    return ok("is at work" if r.state in AT_WORK else "succeeded")


def _nothing(r: Run) -> Finding:
    return skipped("it succeeded" if r.done else "no cluster is known here" if r.kube is None else "it has not failed")
