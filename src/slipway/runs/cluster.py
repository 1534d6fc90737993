"""Submit a compiled pipeline to Kubeflow Pipelines, wait for it, and end as it ended."""

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.components.images import TRAIN_IMAGE
from slipway.data.raw import slug
from slipway.deploy import gpu as gpus
from slipway.deploy import images
from slipway.errors import ClusterError, ConfigError, SlipwayError
from slipway.pipelines import lint, resources
from slipway.runs import failure, kfp_api, reasons
from slipway.runs import record as records
from slipway.runs.parameters import compiled
from slipway.runs.progress import Console, Progress
from slipway.runs.record import new_run_id as new_run_id
from slipway.runs.upload import upload
from slipway.settings import Settings

POLL_S = 3.0
OUTAGE_S = 300.0
"""How long KFP may be away while we wait: an API server's restart takes a minute or two."""
WAITING_S = 15.0
"""How often we ask why a step does not start: an image is pulled, a node sought."""
SLACK_S = 3600.0
"""What a run may take beyond the timeouts of all its attempts, before we end it."""
SUCCEEDED, ENDED = "SUCCEEDED", frozenset({"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED", "ERROR"})


def run(
    family: str,
    parameters: dict[str, Any],
    *,
    settings: Settings,
    run_id: str = "",
    progress: Progress | None = None,
    pipeline: Path | None = None,
    poll_s: float = POLL_S,
    deadline_s: float | None = None,
) -> str:
    """Submit a family's pipeline, wait until it ends, and return KFP's id of the run.

    What its steps do and why one failed is read from the run record in the store, and where that cannot say, see `reasons`.

    Args:
        parameters: typed values of the pipeline's parameters; `data` on this machine is uploaded to the store.
        run_id: the name the run is shown under; empty makes one.
        progress: told of every step; None prints one line per step on stderr.
        pipeline: another compiled pipeline than the family's.
        poll_s: seconds between looks.
        deadline_s: seconds after which a run is terminated; None: the timeouts of all attempts and an hour.
    Raises:
        ConfigError: no host or image is set, or the linter refuses the pipeline.
        ClusterError: KFP does not answer or refuses, or the deadline passed.
        GateRefusedError, UserError, StepFailedError: as in a local run, with the attribute `run_id`.
    """
    host = kfp_api.host(settings)
    ir, platform = submission(pipeline or compiled(family), settings=settings)
    told = progress or Console()
    client = kfp_api.connect(settings)
    try:
        if (data := str(parameters.get("data", ""))) and "://" not in data:
            told.line("", f"uploading {data}")
            name = parameters.get("model_name") or f"{family}-{slug(Path(data).stem)}"
            parameters = {**parameters, "data": upload(Path(data), family=family, settings=settings), "model_name": name}
        submitted = _submit(client, ir, platform, parameters, run_id or new_run_id(family), settings)
        page = f"{host}/#/runs/details/{submitted}"
        told.line("", f"submitted: {page}")
        watch = _Watch(settings, submitted, told)
        state = _wait(client, submitted, watch, poll_s, _longest_s(ir, platform) if deadline_s is None else deadline_s)
    except KeyboardInterrupt:
        told.line("", "no longer waiting; the run goes on in the cluster")
        raise
    finally:
        told.close()
    if state != SUCCEEDED:
        unseen = f" (its record is not in {settings.store}; is SLIPWAY_STORE the cluster's store?)"
        cause = f"KFP says {state}{'' if watch.steps else unseen}"
        steps = reasons.explained(submitted, watch.steps, settings)
        raise failure.error_of(submitted, steps, otherwise=cause, where=f"see {page}")
    return submitted


def submission(path: Path, *, settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is submitted for a compiled pipeline: the real image, the GPUs asked for, and the linter's consent.

    Raises: ConfigError: the linter's findings, or a GPU profile or list of images that cannot be.
    """
    image = images.train(settings)
    gpu = gpus.read(settings.gpu, own=settings.gpu_profiles)
    ir, platform = lint.load(path)
    for _, container in lint.containers(ir):
        if image and container["image"] == TRAIN_IMAGE:
            container["image"] = image
    if gpu is not None:
        resources.add_gpu(ir, platform, gpu)
    if findings := lint.lint(ir, platform, submitting=True):
        more = f" (and {len(findings) - 1} more findings)" if len(findings) > 1 else ""
        raise ConfigError(f"{path.name}: not submitted: {findings[0]}{more}")
    return ir, platform


@dataclass(slots=True)
class _Watch:
    """Tells a progress what the run's record says, as far as the store can be read from here."""

    settings: Settings
    run_id: str
    progress: Progress
    steps: failure.Records = field(default_factory=dict)
    _told: set[tuple[str, int, bool]] = field(default_factory=set)
    _waiting: dict[str, str] = field(default_factory=dict)
    _asked_s: float = 0.0
    _readable: bool = True

    def look(self) -> None:
        """Read the record and tell what is new in it; now and then, why a step does not start."""
        from slipway.store.uri import open_store

        if time.monotonic() - self._asked_s > WAITING_S:
            self._asked_s = time.monotonic()
            for step, node in reasons.nodes(self.run_id, self.settings).items():
                waits = node.phase in ("Pending", reasons.RETRIED)
                if waits and node.message and self._waiting.get(step) != node.message:
                    self._waiting[step] = node.message
                    self.progress.line(step, f"{step} waits: {node.message}")
        if not self._readable:
            return
        try:
            self.steps = records.peek(open_store(self.settings.store), self.run_id)
        except SlipwayError as exc:
            self._readable = exc.retryable
            self.progress.line("", f"the run record cannot be read now: {exc}")
            return
        for step, entry in self.steps.items():
            ended = entry["status"] != records.RUNNING
            if self._new(step, entry["attempt"], ended=False):
                self.progress.started(step)
            if ended and self._new(step, entry["attempt"], ended=True):
                self.progress.finished(step, seconds=entry["seconds"], ok=entry["status"] == records.SUCCEEDED)

    def _new(self, step: str, attempt: int, *, ended: bool) -> bool:
        key = (step, attempt, ended)
        new = key not in self._told
        self._told.add(key)
        return new


def _submit(
    client: Any, ir: dict[str, Any], platform: dict[str, Any], parameters: dict[str, Any], name: str, settings: Settings
) -> str:
    with kfp_api.answering(settings), kfp_api.package(ir, platform) as path:
        run_ = client.run_pipeline(
            kfp_api.experiment(client, settings), name, pipeline_package_path=path, params=parameters,
            pipeline_root=kfp_api.root(settings), service_account=settings.kfp_service_account or None,
        )  # fmt: skip
    return str(run_.run_id)


def _wait(client: Any, run_id: str, watch: _Watch, poll_s: float, deadline_s: float) -> str:
    """State in which the run ended."""
    import kfp_server_api
    import urllib3

    started_s = answered_s = time.monotonic()
    while True:
        state = ""
        try:
            state = str(client.get_run(run_id).state or "").upper()
            answered_s = time.monotonic()
        except (kfp_server_api.ApiException, urllib3.exceptions.HTTPError) as exc:
            status = getattr(exc, "status", None) or 500
            if 400 <= status < 500 or time.monotonic() - answered_s > OUTAGE_S:
                raise ClusterError(f"run {run_id}: KFP no longer answers ({kfp_api.line(exc)}); the run may go on") from exc
        watch.look()
        if state in ENDED:
            return state
        if time.monotonic() - started_s > deadline_s:
            with contextlib.suppress(kfp_server_api.ApiException, urllib3.exceptions.HTTPError):
                client.terminate_run(run_id)
            raise ClusterError(
                f"run {run_id}: still {state or 'silent'} after {deadline_s:.0f} s, terminated; is a pod pending?"
            )
        time.sleep(poll_s)


def _longest_s(ir: dict[str, Any], platform: dict[str, Any]) -> float:
    """Longest time that the compiled timeouts allow, every attempt of every step used up."""
    executors = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    timeouts = {label: float(executor.get("activeDeadlineSeconds", 0)) for label, executor in executors.items()}
    total = SLACK_S
    for _, tasks in lint.dags(ir):
        for task in tasks.values():
            label = ir["components"][task["componentRef"]["name"]].get("executorLabel", "")
            total += timeouts.get(label, 0.0) * (1 + int(task.get("retryPolicy", {}).get("maxRetryCount", 0)))
    return total
