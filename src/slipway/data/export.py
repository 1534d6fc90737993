"""A data set as ordinary files: to look at, or to try one's own data with."""

import csv
from pathlib import Path

from slipway.data.images import encode_png
from slipway.data.raw import RawData
from slipway.errors import DataError
from slipway.store import files


def write_folder(raw: RawData, folder: Path) -> Path:
    """Write images/*.png and labels.csv (columns image, label), or texts.csv (columns text, label), complete or not at all.

    Returns: the path of the table, which `slipway run --data` takes.
    Raises: DataError: `folder` holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: exists already; name a new folder")
    images = raw.kind == "image"
    table = "labels.csv" if images else "texts.csv"
    with files.atomic_dir(folder) as scratch:
        if images:
            (scratch / "images").mkdir()
        with (scratch / table).open("w", encoding="utf-8", newline="") as f:
            rows = csv.writer(f, lineterminator="\n")
            rows.writerow(["image" if images else "text", "label"])
            for i, item in enumerate(raw.items):
                cell = item.content
                if not isinstance(cell, str):
                    encoded = cell if isinstance(cell, bytes) else encode_png(cell)
                    cell = f"images/{i:05d}.png"
                    (scratch / cell).write_bytes(encoded)
                rows.writerow([cell, item.label])
    return folder / table
