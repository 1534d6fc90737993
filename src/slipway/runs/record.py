"""The record of a run: one JSON file per step in the store, `runs/<run id>/<step>.json`; the run is their union."""

import json
import re
import secrets
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from slipway.errors import ConfigError, NotFoundError, SlipwayError, StoreError

if TYPE_CHECKING:
    from slipway.store.uri import Store

FORMAT = 1
RUNNING, SUCCEEDED, FAILED = "running", "succeeded", "failed"


@dataclass(slots=True)
class StepRecord:
    """What a step says of itself; filled while it runs, written when it ends."""

    outputs: dict[str, str] = field(default_factory=dict)
    """Name of an output artifact -> its digest."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """Flat numbers."""
    results: dict[str, Any] = field(default_factory=dict)
    """Anything else worth keeping: JSON values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """One line of `slipway runs`."""

    run_id: str
    status: str
    """`failed` when a step failed, else `running` when one runs, else `succeeded`."""
    started: str
    """ISO 8601, UTC, of the first step."""
    seconds: float
    """From the start of the first step to the last sign of life."""
    steps: tuple[str, ...]
    """In the order they started."""


def new_run_id(family: str) -> str:
    """A name that sorts by time and is unique: family, UTC time, four random digits."""
    return f"{family}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


@contextmanager
def step_record(
    store: "Store", run_id: str, step: str, *, inputs: dict[str, str], parameters: dict[str, Any]
) -> Iterator[StepRecord]:
    """Keep the record of one step: `running` at once, `succeeded` or `failed` when the block ends.

    The error of a failed step is kept with its class, so that whoever waits for the run can raise the same one. A
    step that is killed stays `running`; the next attempt replaces it and counts on.

    Args:
        inputs: name of an input artifact -> its digest.
        parameters: JSON values.
    Raises: ConfigError: `run_id` or `step` cannot be a file name.
    """
    from slipway import provenance, settings

    key = f"{_prefix(run_id)}{_checked('step', step)}.json"
    started = datetime.now(UTC)
    entry: dict[str, Any] = {
        "format": FORMAT,
        "run_id": run_id,
        "step": step,
        "status": RUNNING,
        "attempt": _attempts(store, key) + 1,
        "started": started.isoformat(timespec="milliseconds"),
        "inputs": inputs,
        "parameters": parameters,
        "environment": provenance.environment(settings.load().threads),
        "outputs": {},
        "metrics": {},
        "results": {},
    }
    store.put_bytes(key, _encode(entry))
    record = StepRecord()
    try:
        yield record
    except BaseException as exc:
        failure = {"status": FAILED, "error": _error(exc)}
        try:
            store.put_bytes(key, _encode(entry | _ending(started, record) | failure))
        except StoreError as unwritten:
            exc.add_note(f"the run record could not be written either: {unwritten}")
        raise
    store.put_bytes(key, _encode(entry | _ending(started, record) | {"status": SUCCEEDED}))


def read(store: "Store", run_id: str) -> dict[str, dict[str, Any]]:
    """Every step's record, in the order the steps started; empty when the run has not started one.

    Raises: NotFoundError: nothing is known of `run_id`.
    """
    records = _read(store, run_id)
    if not records:
        known = sorted({_run_of(key) for key in store.keys("runs")})
        hint = f"; the latest are {', '.join(known[-5:])}" if known else "; there are no runs"
        raise NotFoundError(f"run '{run_id}': not in {store.uri}{hint}")
    return records


def peek(store: "Store", run_id: str) -> dict[str, dict[str, Any]]:
    """As `read`, but a run without records is empty: for whoever waits for a run to start."""
    return _read(store, run_id)


def list_runs(store: "Store") -> list[RunSummary]:
    """Every run in the store, the latest last."""
    runs = [summary(store, run_id) for run_id in sorted({_run_of(key) for key in store.keys("runs")})]
    return sorted(runs, key=lambda run: (run.started, run.run_id))


def summary(store: "Store", run_id: str) -> RunSummary:
    """The run in one line. Raises: NotFoundError: nothing is known of `run_id`."""
    records = read(store, run_id)
    statuses = {record["status"] for record in records.values()}
    started = min(record["started"] for record in records.values())
    last = max(record.get("finished", record["started"]) for record in records.values())
    return RunSummary(
        run_id=run_id,
        status=next((s for s in (FAILED, RUNNING) if s in statuses), SUCCEEDED),
        started=started,
        seconds=(datetime.fromisoformat(last) - datetime.fromisoformat(started)).total_seconds(),
        steps=tuple(records),
    )


def _read(store: "Store", run_id: str) -> dict[str, dict[str, Any]]:
    records = []
    for key in store.keys(_prefix(run_id).rstrip("/")):
        if key.endswith(".json"):
            try:
                records.append(json.loads(store.get_bytes(key)))
            except ValueError as exc:
                raise StoreError(f"{store.uri}/{key}: not a run record ({exc}); remove it, or run again") from exc
    return {record["step"]: record for record in sorted(records, key=lambda r: (r["started"], r["step"]))}


def _attempts(store: "Store", key: str) -> int:
    try:
        return int(json.loads(store.get_bytes(key))["attempt"])
    except (NotFoundError, ValueError, KeyError, TypeError):
        return 0


def _ending(started: datetime, record: StepRecord) -> dict[str, Any]:
    finished = datetime.now(UTC)
    return {
        "finished": finished.isoformat(timespec="milliseconds"),
        "seconds": round((finished - started).total_seconds(), 3),
        "outputs": record.outputs,
        "metrics": record.metrics,
        "results": record.results,
    }


def _error(exc: BaseException) -> dict[str, Any]:
    """Class and one line; errors that are not ours are bugs, so they keep their traceback."""
    ours = isinstance(exc, SlipwayError)
    lines = str(exc).strip().splitlines()
    error: dict[str, Any] = {"type": type(exc).__name__, "message": lines[0] if lines else ""}
    if not ours:
        error["traceback"] = "".join(traceback.format_exception(exc))
    return error


def _encode(entry: dict[str, Any]) -> bytes:
    return (json.dumps(entry, indent=2, ensure_ascii=False, default=_plain) + "\n").encode()


def _plain(value: object) -> Any:
    """numpy scalars and paths as JSON values."""
    return value.item() if hasattr(value, "item") else str(value)


def _prefix(run_id: str) -> str:
    return f"runs/{_checked('run id', run_id)}/"


def _checked(what: str, name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name):
        raise ConfigError(
            f"{what} '{name}': must be 1 to 128 letters, digits, '.', '_' or '-', starting with a letter or digit"
        )
    return name


def _run_of(key: str) -> str:
    return key.split("/")[1]
