"""`slipway show`: one run, step by step."""

import json
from typing import Annotated

import typer


def command(
    run: Annotated[str, typer.Argument(help="Run id, as `slipway runs` lists them.")],
    as_json: Annotated[bool, typer.Option("--json", help="The whole record as one JSON object.")] = False,
) -> None:
    """Show a run's record: status, seconds, inputs, outputs, numbers, and the reason of a failure.

    Of a run on Kubeflow Pipelines also why a step was killed or does not start: see SLIPWAY_KFP_HOST.
    """
    from slipway import settings as settings_
    from slipway.runs import reasons, record
    from slipway.store.uri import open_store

    settings = settings_.load()
    store = open_store(settings.store)
    steps = reasons.explained(run, record.peek(store, run), settings) or record.read(store, run)
    if as_json:
        print(json.dumps(steps, ensure_ascii=False))
        return
    for name, step in steps.items():
        print(f"{name}: {step['status']}, {step.get('seconds', 0):.1f} s")
        outputs = {k: v[:12] for k, v in step.get("outputs", {}).items()}
        said = {**outputs, **step.get("metrics", {}), **step.get("results", {})}
        said.pop("inference_service", None)  # an object of its own: --json has it
        for key, value in said.items():
            print(f"    {key}: {_plain(value)}")
        if error := step.get("error"):
            print(f"    {error['type']}: {error['message']}")


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "; ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
