"""What every step does around its work: its line of the run record, its MLflow run, a folder for what it uploads."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway import settings as settings_
from slipway.errors import TrackingError
from slipway.runs.record import StepRecord, step_record
from slipway.settings import Settings
from slipway.store.uri import open_store

if TYPE_CHECKING:
    from slipway.tracking.runs import Run


def name_of(run_id: str) -> str:
    """The run's id: the local runner names it by SLIPWAY_RUN_ID; on a cluster it is KFP's, which the step was given."""
    return settings_.load().run_id or run_id


@contextmanager
def recorded(step: str, run_id: str, inputs: Mapping[str, str], parameters: Mapping[str, Any]) -> Iterator[StepRecord]:
    """The step's line of the record: written as running, then with its end, whatever that is."""
    store = open_store(settings_.load().store)
    with step_record(store, name_of(run_id), step, inputs=dict(inputs), parameters=dict(parameters)) as record:
        yield record


@contextmanager
def tracked(run_id: str, name: str) -> Iterator["Run"]:
    """The MLflow run of this pipeline run; marked failed when the block raises, and taken up again by a retry."""
    from slipway.tracking.runs import finish, open_run

    try:
        with open_run(name_of(run_id), name=name) as run:
            yield run
    except Exception:
        with suppress(TrackingError):  # what went wrong is what the caller must hear
            finish(name_of(run_id), "FAILED")
        raise


@contextmanager
def scratch(settings: Settings) -> Iterator[Path]:
    """A folder of this machine for what is on its way to a store or from one, on the disk of the home."""
    cache = settings.home / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".step-") as folder:
        yield Path(folder)
