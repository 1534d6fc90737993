"""One MLflow run per Slipway run, shared by its steps, which are processes of their own."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal

from slipway import settings as settings_module
from slipway.errors import ConfigError, ConflictError, NotFoundError, TrackingError
from slipway.settings import Settings
from slipway.tracking import client

EXPERIMENT = "slipway"
TAG = "slipway.run_id"
MAX_METRICS, MAX_PARAMS, MAX_TAGS = 1000, 100, 100
"""What MLflow takes in one batch."""
RACES = 5
"""How often a batch is sent when another process writes the same names at the same moment."""
Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True)
class Run:
    """An open MLflow run. Every method may raise TrackingError."""

    id: str
    """MLflow's id of the run, not ours."""
    settings: Settings

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Parameters, once each. Raises: ConflictError: one is there with another value."""
        from mlflow.entities import Param

        items = [Param(_name(k), str(v)) for k, v in params.items()]
        try:
            self._send("params", items, MAX_PARAMS)
        except TrackingError as exc:
            if "Changing param values is not allowed" in str(exc):
                raise ConflictError(f"MLflow run {self.id}: parameters are written once; start another run ({exc})") from exc
            raise

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Numbers at one step, in one call."""
        self._log([(step, metrics)])

    def log_history(self, history: Sequence[Mapping[str, Any]]) -> None:
        """Numbers of several steps, in one call; `epoch` is the step where a record has it, its position otherwise.

        Values that are no numbers are left out.
        """
        self._log([(int(r.get("epoch", i)), {k: v for k, v in r.items() if k != "epoch"}) for i, r in enumerate(history)])

    def log_files(self, path: Path, folder: str = "") -> None:
        """Copy a file, or the content of a directory, to the run's artifacts below `folder`.

        Raises: NotFoundError: there is nothing at `path`.
        """
        if not path.exists():
            raise NotFoundError(f"{path}: no such file or directory to log")

        def log(c: Any) -> None:
            try:
                (c.log_artifacts if path.is_dir() else c.log_artifact)(self.id, str(path), folder or None)
            except OSError as exc:
                raise TrackingError(f"{path}: cannot be copied to MLflow's artifacts ({exc})") from exc

        client.call(self.settings, log)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Texts that may change later."""
        from mlflow.entities import RunTag

        self._send("tags", [RunTag(_name(k), str(v)) for k, v in tags.items()], MAX_TAGS)

    def _log(self, records: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        metrics = [
            Metric(_name(key), float(value), now_ms, step)
            for step, record in records
            for key, value in record.items()
            if isinstance(value, Real)
        ]
        self._send("metrics", metrics, MAX_METRICS)

    def _send(self, kind: str, items: Sequence[Any], most: int) -> None:
        def send(c: Any) -> None:
            for start in range(0, len(items), most):
                c.log_batch(self.id, **{kind: items[start : start + most]})

        for attempt in range(RACES):
            try:
                return client.call(self.settings, send)
            except TrackingError as exc:
                # MLflow reads, then inserts: another step of the run came between. The next reading sees what it wrote.
                if attempt == RACES - 1 or not re.search("unique constraint|duplicate entry", str(exc), re.IGNORECASE):
                    raise


@contextmanager
def open_run(run_id: str, *, name: str, settings: Settings | None = None) -> Iterator[Run]:
    """The MLflow run of a Slipway run: found, or made by whichever step comes first.

    A run that MLFLOW_RUN_ID names (KFP's MLflow plugin sets it for each task) is used instead. Leaving the block does not
    end the run: see `finish`.

    Args:
        run_id: Slipway's id of the run: letters, digits, '-', '_' and '.'.
        name: shown by MLflow when the run is made here.
    Raises:
        ConfigError: the run id has other characters.
        NotFoundError: MLFLOW_RUN_ID names no run.
        TrackingError: MLflow does not answer or refuses.
    """
    settings = settings or settings_module.load()
    yield Run(_adopted(run_id, settings) or _found(run_id, settings) or _made(run_id, name, settings), settings)


def mlflow_run_id(run_id: str, settings: Settings) -> str | None:
    """MLflow's id of the run that `open_run` would find; None where it would make one."""
    return _adopted(run_id, settings) or _found(run_id, settings)


def finish(run_id: str, status: Status = "FINISHED", *, settings: Settings | None = None) -> None:
    """End the MLflow run of a Slipway run. One that is not ours (MLFLOW_RUN_ID) is left to its owner; none is fine."""
    settings = settings or settings_module.load()
    if not _adopted(run_id, settings) and (found := _found(run_id, settings)):
        client.call(settings, lambda c: c.set_terminated(found, status))


def _adopted(run_id: str, settings: Settings) -> str:
    client.connect(settings.tracking_uri)
    from mlflow.environment_variables import MLFLOW_RUN_ID

    adopted = str(MLFLOW_RUN_ID.get() or "")
    if not adopted:
        return ""
    try:
        run = client.call(settings, lambda c: c.get_run(adopted))
    except NotFoundError as exc:
        raise NotFoundError(f"MLFLOW_RUN_ID: no run '{adopted}' at {client.redacted(settings.tracking_uri)}; unset it") from exc
    if run.data.tags.get(TAG) != run_id:
        client.call(settings, lambda c: c.set_tag(adopted, TAG, run_id))
    return adopted


def _found(run_id: str, settings: Settings) -> str:
    """The oldest run of that tag, so that steps which started at once agree."""
    if not re.fullmatch(r"[\w.-]+", run_id):
        raise ConfigError(f"run id '{run_id}': only letters, digits, '-', '_' and '.' are allowed")
    experiment = client.call(settings, lambda c: c.get_experiment_by_name(EXPERIMENT))
    if experiment is None:
        return ""
    condition, order = f"tags.`{TAG}` = '{run_id}'", ["attributes.start_time ASC", "attributes.run_id ASC"]
    runs = client.call(settings, lambda c: c.search_runs([experiment.experiment_id], condition, order_by=order, max_results=1))
    return str(runs[0].info.run_id) if runs else ""


def _made(run_id: str, name: str, settings: Settings) -> str:
    experiment = _experiment(settings)
    tags = {TAG: run_id}
    made = client.call(settings, lambda c: c.create_run(experiment, tags=tags, run_name=name)).info.run_id
    oldest = _found(run_id, settings)
    if oldest != made:  # another step of the run was quicker
        client.call(settings, lambda c: c.delete_run(made))
    return oldest


def _experiment(settings: Settings) -> str:
    """Id of the experiment, made where there is none.

    Behind a server, artifacts go where it says. A database by itself would put them into ./mlruns: they go to the home.
    """
    remote = settings.tracking_uri.startswith("http")
    location = None if remote else (settings.home / "mlartifacts").as_uri()

    def get_or_make(c: Any) -> Any:
        from mlflow.exceptions import MlflowException

        if (found := c.get_experiment_by_name(EXPERIMENT)) is None:
            try:
                return c.get_experiment(c.create_experiment(EXPERIMENT, artifact_location=location))
            except MlflowException as exc:
                if exc.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                return c.get_experiment_by_name(EXPERIMENT)
        return found

    experiment = client.call(settings, get_or_make)
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"{client.redacted(settings.tracking_uri)}: the experiment '{EXPERIMENT}' was deleted; "
            f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
        )
    return str(experiment.experiment_id)


def _name(key: str) -> str:
    """The key with what MLflow refuses in names replaced: class names may hold anything."""
    return re.sub(r"[^\w.\- :/]", "_", key)
