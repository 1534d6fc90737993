"""What a model is to answer: images and folders of them, texts and files of them; read when their turn comes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

from slipway.data.folders import files_below
from slipway.data.tables import READERS, TEXT_COLUMNS, column, decode_utf8, read_rows
from slipway.errors import ConfigError, DataError

TEXT_FILES = (".txt", *READERS)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to be answered."""

    source: str
    """Its path as the caller wrote it, or `reviews.csv row 7`."""
    content: Path | str | DataError
    """An image's file, a text, or why there is neither."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """All of them, in order; nothing is held but names."""

    count: int
    """Items to come; 0 when nobody knows before the files are read."""
    items: Iterator[Item]


def find(kind: str, paths: Sequence[str], *, texts: Sequence[str] = (), text_column: str = "") -> Inputs:
    """What `paths` and `texts` hold for a model of `kind`: the folders in the order of their names, at any depth.

    Args:
        kind: `image` or `text`, as the model's preprocessing calls its input.
        paths: images or folders of them; for texts tables (CSV, TSV, JSON lines, Parquet), .txt files with a text a line, or
            folders of such files.
        texts: given on the spot.
        text_column: of the tables; empty takes the first usual name that is there.
    Raises:
        ConfigError: nothing is given, or texts to a model of images.
        DataError: a path is not there, a folder holds nothing of the kind. What is wrong inside a file comes as an item.
    """
    if not paths and not texts:
        raise ConfigError("predict: nothing to answer; give files or folders, or --text 'a text' to a model of texts")
    if kind == "image" and (texts or text_column):
        raise ConfigError("--text and --text-column: the model takes images; give files or folders")
    for path in paths:
        _check(Path(path), kind)
    if kind == "image":
        return Inputs(sum(1 for _ in _images(paths)), (Item(str(path), path) for path in _images(paths)))
    given = (Item(f"--text {i}", text) for i, text in enumerate(texts, 1))
    return Inputs(0 if paths else len(texts), chain(given, _texts(paths, text_column)))


def _check(path: Path, kind: str) -> None:
    if not path.exists():
        beside = [p.name for p in path.absolute().parent.iterdir()] if path.absolute().parent.is_dir() else []
        near = get_close_matches(path.name, beside, n=1)
        raise DataError(f"{path}: no such file or folder{f'; did you mean {path.with_name(near[0])}?' if near else ''}")
    if path.is_dir() and next(_below(path, kind), None) is None:
        what = "images" if kind == "image" else f"texts ({', '.join(TEXT_FILES)})"
        raise DataError(f"{path}: the folder holds no {what}")
    if kind == "text" and path.is_file() and path.suffix.lower() not in TEXT_FILES:
        raise DataError(f"{path}: the model takes texts; give {', '.join(TEXT_FILES)}, a folder of them, or --text 'a text'")


def _below(folder: Path, kind: str) -> Iterator[Path]:
    if kind == "image":
        return files_below(folder)
    return files_below(folder, fits=lambda suffix: suffix in TEXT_FILES)


def _images(paths: Sequence[str]) -> Iterator[Path]:
    for path in map(Path, paths):
        yield from _below(path, "image") if path.is_dir() else (path,)


def _texts(paths: Sequence[str], text_column: str) -> Iterator[Item]:
    for given in map(Path, paths):
        for path in _below(given, "text") if given.is_dir() else (given,):
            try:
                yield from _lines(path) if path.suffix.lower() == ".txt" else _rows(path, text_column)
            except DataError as exc:
                yield Item(str(path), exc)
            except OSError as exc:
                yield Item(str(path), DataError(f"{path}: cannot be read ({exc.strerror or exc})"))


def _rows(path: Path, text_column: str) -> Iterator[Item]:
    table = read_rows(path)
    text = column(table, text_column, TEXT_COLUMNS, "text")
    for number, row in table.rows:
        yield Item(f"{path} row {number}", row[text])


def _lines(path: Path) -> Iterator[Item]:
    with path.open("rb") as f:
        for number, line in enumerate(f, 1):
            source = f"{path} row {number}"
            try:
                text = decode_utf8(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, source).strip()
            except DataError as exc:
                yield Item(source, exc)
                continue
            if text:
                yield Item(source, text)
