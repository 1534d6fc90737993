"""`slipway options`: what can be set of training."""

from typing import Annotated

import typer


def command(family: Annotated[str, typer.Argument(help="cv, defect or nlp.")]) -> None:
    """List every option of a family's training: its type, its default and what it means; set by --set NAME=VALUE."""
    from slipway.cli.table import show
    from slipway.training import options
    from slipway.training.recipe import types

    defaults, meanings = options.defaults(), options.meanings()
    rows = [
        (name, types()[name][0].__name__, "" if defaults[name] is None else defaults[name], meanings[name])
        for name in options.names(family)
    ]
    show(("option", "type", "default", "meaning"), rows, empty="")
