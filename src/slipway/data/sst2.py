"""`sst2`: GLUE's edition of the Stanford Sentiment Treebank; dev is the test split here, as GLUE's test has no labels."""

from slipway.data.raw import Item, LazyItems, RawData, Request
from slipway.data.tables import column, read_rows
from slipway.errors import DataError

LABELS = ("negative", "positive")


def read(request: Request) -> RawData:
    """The rows of SST-2/train.tsv and dev.tsv.

    Raises: DataError: a file is missing, or a label is neither 0 nor 1; the message says what to put where.
    """
    rows: list[tuple[str, str, str, str]] = []
    for file, split in (("train.tsv", "train"), ("dev.tsv", "test")):
        path = request.root / "SST-2" / file
        if not path.is_file():
            raise DataError(
                f"data set 'sst2': no {path}; unpack GLUE's SST-2.zip (dl.fbaipublicfiles.com/glue/data) into {request.root}, "
                f"or set SLIPWAY_DATA to the folder that holds SST-2"
            )
        table = read_rows(path)
        text, label = column(table, "sentence", ()), column(table, "label", ())
        for number, row in table.rows:
            if row[label] not in ("0", "1"):
                raise DataError(f"{path} row {number}: label '{row[label]}', allowed are 0 (negative) and 1 (positive)")
            rows.append((row[text], LABELS[int(row[label])], f"{file} row {number}", split))

    def make(i: int) -> Item:
        return Item(*rows[i])

    return RawData(name="sst2", kind="text", labels=LABELS, items=LazyItems(len(rows), make))
