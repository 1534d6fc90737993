"""The command line: one file per verb, heavy imports inside the verb. Results on stdout, everything else on stderr."""

import sys
from collections.abc import Sequence
from importlib import import_module

import typer

from slipway.cli.exits import exit_code
from slipway.errors import SlipwayError

VERBS = (
    "run", "prepare", "train", "export", "evaluate", "predict", "explain", "bench", "optimise", "explore", "compare", "tune",
    "schedule", "options", "serve", "models", "promote", "deploy", "rollout", "doctor", "runs", "show", "report", "gc",
    "backup", "restore", "generate", "mlflow_ui",
)  # fmt: skip
"""In the order of `--help`; each is a file here with a function `command`, or with `commands`, a verb of several."""


def app() -> typer.Typer:
    """The Typer application with every verb."""
    application = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="Build, inspect and launch models: from raw data to a gated, registered, served model.",
        epilog="--debug, anywhere, shows tracebacks. Exit codes: 0 done, 1 our fault, 2 yours, 3 refused by the gate.",
    )
    for verb in VERBS:
        module, name = import_module(f"slipway.cli.{verb}"), verb.replace("_", "-")
        if hasattr(module, "commands"):
            application.add_typer(module.commands, name=name)
        else:
            application.command(name=name)(module.command)
    application.callback()(_options)
    return application


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `slipway`: runs a verb and exits with the code of the error class."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    if debug:
        arguments.remove("--debug")
    try:
        app()(args=arguments, prog_name="slipway")
    except SlipwayError as exc:
        if debug:
            raise
        print(f"error: {exc}", file=sys.stderr)
        sys.exit(exit_code(exc))
    except KeyboardInterrupt:
        sys.exit(130)


def _print_version(asked: bool) -> None:
    if asked:
        import slipway

        print(slipway.__version__)
        raise typer.Exit


def _options(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
    ),
) -> None:
    """Flags of `slipway` itself; each acts in its own callback."""
