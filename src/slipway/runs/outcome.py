"""The outcome of a run, put together from its record: what `slipway run` prints."""

from typing import Any

from slipway.errors import NotFoundError
from slipway.runs import record as records
from slipway.settings import Settings
from slipway.store.uri import open_store


def read(run_id: str, settings: Settings) -> dict[str, Any]:
    """Run, family, model, data set, version, digest, verdict, reasons, metrics, endpoint, answer, as JSON values.

    `version`, `digest`, `endpoint` and `answer` are None for a run that the gate refused.
    Raises: NotFoundError: the run has no verdict: it is unknown, still running, or it failed.
    """
    steps = records.read(open_store(settings.store), run_id)
    if "gate" not in steps or "verdict" not in steps["gate"]["results"]:
        raise NotFoundError(f"run {run_id}: has no verdict; `slipway show {run_id}` tells what it did")
    prepared, scored, judged = steps["prepare_data"], steps["evaluate"], steps["gate"]
    registered = steps.get("register_model", {})
    served = steps.get("deploy_model", {}).get("results", {})
    return {
        "run": run_id,
        "family": prepared["parameters"]["family"],
        "model": scored["results"]["model"],
        "dataset": prepared["results"]["name"],
        "version": registered.get("results", {}).get("version"),
        "digest": registered.get("outputs", {}).get("release"),
        "verdict": judged["results"]["verdict"],
        "reasons": judged["results"]["reasons"],
        "metrics": scored["metrics"],
        "endpoint": served.get("endpoint"),
        "answer": served.get("answer"),
    }
