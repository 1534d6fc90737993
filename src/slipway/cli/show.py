"""`slipway show`: one run, step by step."""

import json
from typing import Annotated

import typer


def command(
    run: Annotated[str, typer.Argument(help="Run id, as `slipway runs` lists them.")],
    as_json: Annotated[bool, typer.Option("--json", help="The whole record as one JSON object.")] = False,
) -> None:
    """Show a run's record: status, seconds, inputs, outputs, numbers, and the reason of a failure."""
    from slipway import settings
    from slipway.runs import record
    from slipway.store.uri import open_store

    steps = record.read(open_store(settings.load().store), run)
    if as_json:
        print(json.dumps(steps, ensure_ascii=False))
        return
    for name, step in steps.items():
        print(f"{name}: {step['status']}, {step.get('seconds', 0):.1f} s")
        said = {**{k: v[:12] for k, v in step["outputs"].items()}, **step["metrics"], **step["results"]}
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
