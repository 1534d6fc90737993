"""Tables of texts, and tables of image paths: CSV, TSV, JSON lines, Parquet."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from slipway.data.raw import Item, LazyItems, RawData, slug
from slipway.errors import DataError

TEXT_COLUMNS = ("text", "sentence", "review", "content", "comment", "message")
IMAGE_COLUMNS = ("image", "path", "file", "filename")
LABEL_COLUMNS = ("label", "class", "category", "sentiment", "target")
"""Taken in this order when the caller names no column; case does not matter."""
MAX_SLICE_VALUES = 50
"""Of a slice column; with more, hardly any slice has the items to say something."""
MAX_FIELD_CHARS = 16_000_000
"""Of a CSV field; Python's own limit of 131,072 is below what a long document has."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file's rows, all as text."""

    path: Path
    columns: tuple[str, ...]
    rows: list[tuple[int, Sequence[str]]]
    """Row number as an editor shows it (a CSV's header is row 1), and one value per column."""


def open_texts(path: Path, *, text_column: str = "", label_column: str = "", slice_columns: Sequence[str] = ()) -> RawData:
    """A table with a text and a label in each row.

    Raises: DataError: a column is missing (with the near match), a row is ragged, not UTF-8 or without a label; a slice
        column has more than MAX_SLICE_VALUES values.
    """
    table = read_rows(path)
    text, label = column(table, text_column, TEXT_COLUMNS, "text"), column(table, label_column, LABEL_COLUMNS, "label")
    labels, slices = _labels(table, label), _slices(table, slice_columns)

    def make(i: int) -> Item:
        number, row = table.rows[i]
        values = tuple(row[at].strip() for at in slices)
        return Item(row[text], row[label].strip(), f"{path.name} row {number}", slices=values)

    items = LazyItems(len(table.rows), make)
    names = tuple(table.columns[at] for at in slices)
    return RawData(name=slug(path.stem), kind="text", labels=labels, items=items, slice_columns=names)


def open_image_paths(
    path: Path, *, image_column: str = "", label_column: str = "", slice_columns: Sequence[str] = ()
) -> RawData:
    """A table with an image's path, relative to the table, and a label in each row.

    Raises: DataError: as `open_texts`; or a named image is not there.
    """
    table = read_rows(path)
    image, label = column(table, image_column, IMAGE_COLUMNS, "image"), column(table, label_column, LABEL_COLUMNS, "label")
    labels, slices = _labels(table, label), _slices(table, slice_columns)
    for number, row in table.rows:
        if not row[image].strip() or not (path.parent / row[image].strip()).is_file():
            raise DataError(
                f"{path} row {number}: no image '{row[image]}' below {path.parent}; paths are relative to the table's folder"
            )

    def make(i: int) -> Item:
        _, row = table.rows[i]
        name = row[image].strip()
        return Item((path.parent / name).read_bytes(), row[label].strip(), name, slices=tuple(row[at].strip() for at in slices))

    name = slug(path.absolute().parent.name if path.stem == "labels" else path.stem)
    items = LazyItems(len(table.rows), make)
    names = tuple(table.columns[at] for at in slices)
    return RawData(name=name, kind="image", labels=labels, items=items, slice_columns=names)


def read_rows(path: Path) -> Table:
    """All rows of a CSV (quoted), TSV (not quoted, as GLUE's), JSON lines or Parquet file; blank lines are left out.

    Raises: DataError: another suffix, damaged, not UTF-8, ragged or without rows; the message names the row.
    """
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise DataError(f"{path}: unsupported table '{path.suffix}'; allowed: {', '.join(READERS)}")
    table = read(path)
    if not table.rows:
        raise DataError(f"{path}: holds no rows")
    return table


def column(table: Table, asked: str, candidates: Sequence[str], what: str = "") -> int:
    """Position of the column the caller named, or else of the first of `candidates` that is there.

    Raises: DataError: there is none; the message has the near match and the columns that are there.
    """
    names = [c.lower() for c in table.columns]
    for name in [asked] if asked else candidates:
        if name in table.columns:
            return table.columns.index(name)
        if name.lower() in names:
            return names.index(name.lower())
    have = f"columns: {', '.join(table.columns)}"
    if not asked:
        raise DataError(f"{table.path}: no {what} column; name it, or call it {' or '.join(candidates)}; {have}")
    near = get_close_matches(asked, table.columns, n=1)
    raise DataError(f"{table.path}: no column '{asked}'{f'; did you mean {near[0]!r}?' if near else ';'} {have}")


def decode_utf8(data: bytes, where: str) -> str:
    """Text of UTF-8 bytes.

    Raises: DataError: not UTF-8; the message starts with `where`.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise DataError(f"{where}: not UTF-8, byte 0x{data[exc.start]:02x} at position {exc.start}; save it as UTF-8") from exc


def _labels(table: Table, label: int) -> tuple[str, ...]:
    for number, row in table.rows:
        if not row[label].strip():
            raise DataError(
                f"{table.path} row {number}: no label in column '{table.columns[label]}'; give one or remove the row"
            )
    labels = tuple(sorted({row[label].strip() for _, row in table.rows}))
    if len(labels) > max(2, len(table.rows) // 2):
        raise DataError(
            f"{table.path}: column '{table.columns[label]}' has {len(labels)} different values in {len(table.rows)} rows; "
            f"name the column that holds the class"
        )
    return labels


def _slices(table: Table, names: Sequence[str]) -> list[int]:
    """Positions of the slice columns, each once."""
    slices = list(dict.fromkeys(column(table, name, ()) for name in names))
    for at in slices:
        values = {row[at].strip() for _, row in table.rows} - {""}
        if len(values) > MAX_SLICE_VALUES:
            raise DataError(
                f"{table.path}: slice column '{table.columns[at]}' has {len(values)} different values in {len(table.rows)} "
                f"rows, allowed are {MAX_SLICE_VALUES}; it looks like an id or a measured number, name a column of groups"
            )
        if not values:
            raise DataError(f"{table.path}: slice column '{table.columns[at]}' is empty; name another or fill it in")
    return slices


def _read_csv(path: Path) -> Table:
    return _read_delimited(path, lambda lines: csv.reader(lines, strict=True))


def _read_tsv(path: Path) -> Table:
    return _read_delimited(path, lambda lines: csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def _read_delimited(path: Path, parse: Callable[[Iterator[str]], Iterator[list[str]]]) -> Table:
    csv.field_size_limit(MAX_FIELD_CHARS)
    rows: list[tuple[int, Sequence[str]]] = []
    number = 0
    with path.open("rb") as f:

        def lines() -> Iterator[str]:
            for i, line in enumerate(f):
                yield decode_utf8(line.removeprefix(b"\xef\xbb\xbf") if i == 0 else line, f"{path} row {number + 1}")

        try:
            for row in parse(lines()):
                number += 1
                if row:
                    if rows and len(row) != len(rows[0][1]):
                        raise DataError(
                            f"{path} row {number}: {len(row)} fields, the header has {len(rows[0][1])}; "
                            f"check its separators and quotes"
                        )
                    rows.append((number, row))
        except csv.Error as exc:
            raise DataError(f"{path} row {number + 1}: {exc}; check its quotes") from exc
    header = tuple(name.strip() for name in rows[0][1]) if rows else ()
    return Table(path, header, rows[1:])


def _read_jsonl(path: Path) -> Table:
    columns: tuple[str, ...] = ()
    rows: list[tuple[int, Sequence[str]]] = []
    with path.open("rb") as f:
        for number, line in enumerate(f, 1):
            where = f"{path} row {number}"
            text = decode_utf8(line, where)
            if not text.strip():
                continue
            try:
                value = json.loads(text)
            except ValueError as exc:
                raise DataError(f"{where}: not JSON ({exc}); one object a line") from exc
            if not isinstance(value, dict):
                raise DataError(f"{where}: must be a JSON object, got {type(value).__name__}")
            columns = columns or tuple(value)
            if missing := [c for c in columns if c not in value]:
                raise DataError(f"{where}: no key '{missing[0]}', which the first row has; keys: {', '.join(value) or 'none'}")
            rows.append((number, [_as_text(value[c], where) for c in columns]))
    return Table(path, columns, rows)


def _read_parquet(path: Path) -> Table:
    try:
        import pandas
    except ModuleNotFoundError as exc:
        raise DataError(f"{path}: Parquet needs pandas and pyarrow; install slipway[train]") from exc
    try:
        frame = pandas.read_parquet(path)
    except (OSError, ValueError) as exc:  # pyarrow's own errors are both
        raise DataError(f"{path}: not a Parquet file, or damaged ({' '.join(str(exc).split())[:200]})") from exc
    frame = frame.astype(object).where(frame.notna(), None)
    rows: list[tuple[int, Sequence[str]]] = []
    for number, row in enumerate(frame.itertuples(index=False, name=None), 1):
        rows.append((number, [_as_text(value, f"{path} row {number}") for value in row]))
    return Table(path, tuple(str(c) for c in frame.columns), rows)


def _as_text(value: object, where: str) -> str:
    """A cell as text; a missing value is empty."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return decode_utf8(value, where)
    return json.dumps(value) if isinstance(value, bool) else str(value)


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
