"""`digits`: scikit-learn's real handwritten digits."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from slipway.data.raw import Item, LazyItems, RawData, Request
from slipway.errors import DataError


def read(_request: Request) -> RawData:
    """1,797 images of 8x8 px, 0 to 255.

    The file is read where scikit-learn installs it: importing sklearn.datasets for it takes seconds, reading 0.4 s.

    Raises: DataError: scikit-learn is not installed.
    """
    spec = find_spec("sklearn")
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz" if spec and spec.origin else Path()
    if path.is_file():
        table = np.loadtxt(path, delimiter=",", dtype=np.float32).astype(np.int64)
    elif spec:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        table = np.column_stack([bunch.data, bunch.target]).astype(np.int64)
    else:
        raise DataError("data set 'digits': needs scikit-learn; install slipway[train]")
    pixels = np.minimum(table[:, :64] * 16, 255).astype(np.uint8).reshape(-1, 8, 8, 1)  # 17 gray levels, 0 to 16
    labels = tuple(str(d) for d in range(10))

    def make(i: int) -> Item:
        return Item(pixels[i], labels[table[i, 64]], f"digit {i}")

    return RawData(name="digits", kind="image", labels=labels, items=LazyItems(len(table), make))
