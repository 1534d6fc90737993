"""`slipway predict`: a model's answers to files, folders or texts, here or by a server."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.flags import Model, TextColumn

if TYPE_CHECKING:
    from slipway.predictions.answers import Answer
    from slipway.predictions.inputs import Item
    from slipway.settings import Settings

Option = typer.Option
FIRST_CONTACT_S = 5.0
"""A mistyped address is told soon; a server that has answered is waited for longer."""


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
    url: Annotated[
        str, Option(metavar="URL", help="Ask the server there, http://HOST:PORT; MODEL is a name on it, or NAME:VERSION.")
    ] = "",
    out: Annotated[
        Path | None, Option("-o", "--out", metavar="FILE", help=".csv, .jsonl or .json; default: CSV on stdout.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="JSON on stdout, an object on a line for each item.")] = False,
) -> None:
    """Answer each item: its label, how sure the model is, and the probability of every class, in the order of the items.

    What cannot be read is named, with the reason, and the rest goes on; the exit code is 2 then. A server's token is taken
    from SLIPWAY_SERVER_TOKEN.
    """
    from slipway import settings as settings_
    from slipway.cli.output import written
    from slipway.cli.progress import meter
    from slipway.errors import ConfigError, DataError
    from slipway.predictions import inputs, output

    if out and as_json:
        raise ConfigError("--json and -o: give one of them; -o FILE.json or FILE.jsonl writes JSON")
    suffix = output.format_of(out) if out else ".jsonl" if as_json else ".csv"
    settings = settings_.load()
    seen = unread = 0
    with _served(model, url, settings) if url else _opened(model, settings) as answerer:
        asked = inputs.find(answerer.kind, paths or [], texts=text or [], text_column=text_column)
        with (
            written(out),
            meter(f"predict {answerer.name}", asked.count) as progress,
            output.opened(out, answerer.labels, suffix=suffix) as put,
        ):
            for answer in answerer.answers(asked.items):
                seen += 1
                if answer.error:
                    unread += 1
                    progress.say(f"{answer.source}: {answer.error}")
                put(answer)
                progress.step()
    if out:
        print(f"{out}: {seen - unread:,} answers by {answerer.name}")
    if unread:
        raise DataError(f"predict: {unread:,} of {seen:,} items could not be read; each is named above and in the output")


@dataclass(frozen=True, slots=True)
class _Answerer:
    """A model that answers, wherever it runs."""

    name: str
    kind: str
    """`image` or `text`."""
    labels: Sequence[str]
    answers: "Callable[[Iterable[Item]], Iterator[Answer]]"


@contextmanager
def _opened(model: str, settings: "Settings") -> Iterator[_Answerer]:
    """A model in this process."""
    from slipway import references
    from slipway.predictions.answers import answers

    found, bundle = references.open_model(model, settings)
    yield _Answerer(str(found), bundle.preprocess.input_name, bundle.labels, lambda items: answers(bundle, items))


@contextmanager
def _served(model: str, url: str, settings: "Settings") -> Iterator[_Answerer]:
    """A model on a server."""
    import numpy as np

    from slipway.client import Client
    from slipway.errors import ServerError
    from slipway.predictions.answers import Answer

    with Client(url, token=settings.server_token) as client:
        about = client.classifier(model, timeout_s=FIRST_CONTACT_S)

        def answers(items: "Iterable[Item]") -> "Iterator[Answer]":
            for found in client.predict_items(model, items):
                if found.prediction is None:
                    yield Answer(found.source, None, found.error)
                    continue
                if tuple(found.prediction.probabilities) != about.labels:
                    raise ServerError(f"{model}: another version with other classes answers now; run it again")
                yield Answer(found.source, np.array([*found.prediction.probabilities.values()], np.float32))

        yield _Answerer(model, about.input_name, about.labels, answers)
