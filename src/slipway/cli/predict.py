"""`slipway predict`: a model's answers to files, folders or texts."""

from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.flags import Model, TextColumn

Option = typer.Option


def command(
    model: Model,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|DIR]...",
            help="Images, or folders of them; tables of texts, .txt files of a text a line, or folders.",
        ),
    ] = None,
    text: Annotated[list[str] | None, Option(metavar="TEXT", help="A text to answer; repeatable.")] = None,
    text_column: TextColumn = "",
    out: Annotated[
        Path | None, Option("-o", "--out", metavar="FILE", help=".csv, .jsonl or .json; default: CSV on stdout.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="JSON on stdout, an object on a line for each item.")] = False,
) -> None:
    """Answer each item: its label, how sure the model is, and the probability of every class, in the order of the items.

    What cannot be read is named, with the reason, and the rest goes on; the exit code is 2 then.
    """
    from slipway import references
    from slipway import settings as settings_
    from slipway.cli.output import written
    from slipway.cli.progress import meter
    from slipway.errors import ConfigError, DataError
    from slipway.predictions import inputs, output
    from slipway.predictions.answers import answers

    if out and as_json:
        raise ConfigError("--json and -o: give one of them; -o FILE.json or FILE.jsonl writes JSON")
    suffix = output.format_of(out) if out else ".jsonl" if as_json else ".csv"
    found, bundle = references.open_model(model, settings_.load())
    asked = inputs.find(bundle.preprocess.input_name, paths or [], texts=text or [], text_column=text_column)
    seen = unread = 0
    with (
        written(out),
        meter(f"predict {found}", asked.count) as progress,
        output.opened(out, bundle.labels, suffix=suffix) as put,
    ):
        for answer in answers(bundle, asked.items):
            seen += 1
            if answer.error:
                unread += 1
                progress.say(f"{answer.source}: {answer.error}")
            put(answer)
            progress.step()
    if out:
        print(f"{out}: {seen - unread:,} answers by {found}")
    if unread:
        raise DataError(f"predict: {unread:,} of {seen:,} items could not be read; each is named above and in the output")
