"""Answers as CSV, JSON lines or one JSON array, written one by one."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from slipway.errors import ConfigError, unknown
from slipway.evaluation.scores import OURS
from slipway.predictions.answers import Answer
from slipway.store import files

Put = Callable[[Answer], object]


def as_json(answer: Answer, labels: Sequence[str]) -> dict[str, Any]:
    """file, label, confidence, probabilities by class; or file and error. Six digits."""
    if answer.probabilities_K is None:
        return {"file": answer.source, "error": answer.error}
    values = [float(f"{p:.6g}") for p in answer.probabilities_K]
    best = int(answer.probabilities_K.argmax())
    return {
        "file": answer.source,
        "label": labels[best],
        "confidence": values[best],
        "probabilities": dict(zip(labels, values, strict=True)),
    }


@contextmanager
def opened(target: Path | None, labels: Sequence[str], *, suffix: str) -> Iterator[Put]:
    """A function that takes the answers one by one. The file appears when the block ends without an exception, or not at all.

    Args:
        target: None is stdout.
        suffix: a key of FORMATS.
    """
    write = FORMATS[suffix]
    if target is None:
        with write(sys.stdout, labels) as put:
            yield put
        return
    with files.atomic_file(target) as f, write(f, labels) as put:
        yield put


def format_of(target: Path) -> str:
    """The key of FORMATS that a file's name ends with. Raises: ConfigError: another ending."""
    suffix = target.suffix.lower()
    if suffix not in FORMATS:
        raise ConfigError(f"-o {target}: {unknown('format', suffix, FORMATS)}")
    return suffix


@contextmanager
def _csv(f: IO[str], labels: Sequence[str]) -> Iterator[Put]:
    table = csv.writer(f, lineterminator="\n")
    table.writerow(["file", "label", "confidence", *(OURS + name for name in labels), "error"])

    def put(answer: Answer) -> None:
        row = as_json(answer, labels)
        if answer.error:
            table.writerow([row["file"], "", "", *[""] * len(labels), row["error"]])
        else:
            table.writerow([row["file"], row["label"], row["confidence"], *row["probabilities"].values(), ""])

    yield put


@contextmanager
def _json_lines(f: IO[str], labels: Sequence[str]) -> Iterator[Put]:
    yield lambda answer: f.write(json.dumps(as_json(answer, labels), ensure_ascii=False) + "\n")


@contextmanager
def _json_array(f: IO[str], labels: Sequence[str]) -> Iterator[Put]:
    before = "[\n"

    def put(answer: Answer) -> None:
        nonlocal before
        f.write(before + json.dumps(as_json(answer, labels), ensure_ascii=False))
        before = ",\n"

    yield put
    f.write("\n]\n" if before == ",\n" else "[]\n")


FORMATS = {".csv": _csv, ".jsonl": _json_lines, ".json": _json_array}
"""Ending of a file's name -> what writes it."""
