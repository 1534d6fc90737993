"""The command line: one file per verb, heavy imports inside the verb. Results on stdout, everything else on stderr."""

import sys
from collections.abc import Sequence

import typer

from slipway.cli.exits import exit_code
from slipway.errors import SlipwayError


def app() -> typer.Typer:
    """The Typer application with every verb."""
    from slipway.cli import (  # fmt: skip
        compare,
        evaluate,
        explore,
        export,
        generate,
        mlflow_ui,
        models,
        options,
        predict,
        prepare,
        promote,
        report,
        run,
        runs,
        serve,
        show,
        train,
        tune,
    )

    application = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="Build, inspect and launch models: from raw data to a gated, registered, served model.",
        epilog="--debug, anywhere, shows tracebacks. Exit codes: 0 done, 1 our fault, 2 yours, 3 refused by the gate.",
    )
    verbs = (run, prepare, train, export, evaluate, predict, explore, compare, tune, options, serve, models, promote, runs)
    for verb in (*verbs, show, report, generate, mlflow_ui):
        application.command(name=verb.__name__.rpartition(".")[2].replace("_", "-"))(verb.command)
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
