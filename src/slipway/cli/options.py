"""`slipway options`: what can be set of training, of the gate, of the checks of the data."""

from typing import Annotated

import typer

GATE, CHECKS = "gate", "checks"


def command(of: Annotated[str, typer.Argument(metavar="FAMILY|gate|checks", help="cv, defect, nlp, gate or checks.")]) -> None:
    """List every option of a family's training, rule of the gate or check of the data; set by --set NAME=VALUE."""
    from slipway import config
    from slipway.cli.table import show
    from slipway.data.checks.config import CheckConfig
    from slipway.evaluation.gate import GateConfig
    from slipway.training import options
    from slipway.training.recipe import TrainConfig

    record: type = {GATE: GateConfig, CHECKS: CheckConfig}.get(of, TrainConfig)
    names = options.names(of) if record is TrainConfig else list(config.types(record))
    prefix = f"{CHECKS}." if of == CHECKS else ""
    defaults, meanings = config.defaults(record), config.meanings(record)
    rows = [
        (prefix + name, config.types(record)[name][0].__name__, "" if (d := defaults.get(name)) is None else d, meanings[name])
        for name in names
    ]
    show(("option", "type", "default", "meaning"), rows, empty="")
