"""`slipway options`: what can be set of training, and of the gate."""

from typing import Annotated

import typer

GATE = "gate"


def command(of: Annotated[str, typer.Argument(metavar="FAMILY|gate", help="cv, defect, nlp or gate.")]) -> None:
    """List every option of a family's training, or every rule of the gate: type, default, meaning; set by --set NAME=VALUE."""
    from slipway import config
    from slipway.cli.table import show
    from slipway.evaluation.gate import GateConfig
    from slipway.training import options
    from slipway.training.recipe import TrainConfig

    record: type = GateConfig if of == GATE else TrainConfig
    names = list(config.types(record)) if of == GATE else options.names(of)
    defaults, meanings = config.defaults(record), config.meanings(record)
    rows = [
        (name, config.types(record)[name][0].__name__, "" if (d := defaults.get(name)) is None else d, meanings[name])
        for name in names
    ]
    show(("option", "type", "default", "meaning"), rows, empty="")
