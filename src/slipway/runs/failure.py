"""Why a run failed, told by the record its steps left in the store."""

from typing import Any

from slipway import errors
from slipway.errors import GateRefusedError, SlipwayError, StepFailedError, UserError
from slipway.runs import record as records

Records = dict[str, dict[str, Any]]


def error_of(run_id: str, steps: Records, *, otherwise: str, where: str) -> SlipwayError:
    """The error to raise for a failed run: the failing step's own where the caller can act on its class.

    Args:
        steps: records of this run's steps.
        otherwise: what is known when no step has left its error.
        where: how to see more, ends the line.
    Returns: the step's UserError or GateRefusedError again, else a StepFailedError with the step's line; has the
        attribute `run_id`.
    """
    failed = [entry for entry in steps.values() if entry["status"] == records.FAILED]
    cut_off = [entry for entry in steps.values() if entry["status"] == records.RUNNING]
    error: SlipwayError
    if failed:
        entry = max(failed, key=lambda e: str(e.get("finished", "~")))  # without a time: what KFP says of the end
        error = _again(entry, where)
    elif cut_off:
        step = cut_off[-1]["step"]
        error = StepFailedError(f"{step}: ended before it could say why (killed, or out of memory?); {otherwise}; {where}")
    else:
        error = StepFailedError(f"{otherwise}; {where}")
    error.run_id = run_id
    return error


def _again(entry: dict[str, Any], where: str) -> SlipwayError:
    kind, message = entry["error"]["type"], entry["error"]["message"]
    cls = getattr(errors, kind, None)
    if isinstance(cls, type) and issubclass(cls, UserError | GateRefusedError):
        return cls(message)
    named = message if cls is not None else f"{kind}: {message}"
    return StepFailedError(f"{entry['step']}: {named}; {where}")
