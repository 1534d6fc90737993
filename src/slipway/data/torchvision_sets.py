"""`cifar10` and `fashion_mnist`, through torchvision's own loaders: they check the files and download missing ones."""

import contextlib
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np

from slipway.data.raw import Item, LazyItems, RawData, Request
from slipway.errors import DataError

TIMEOUT_S = 30
"""For a download server that does not answer; torchvision itself would wait for minutes."""


def read_cifar10(request: Request) -> RawData:
    """The 50,000 + 10,000 images of <root>/cifar-10-batches-py.

    Raises: DataError: neither there nor to be downloaded, or damaged; the message says what to put where.
    """
    hint = "unpack cifar-10-python.tar.gz (www.cs.toronto.edu/~kriz/cifar.html)"
    return _read("cifar10", "CIFAR10", request.root, request.root / "cifar-10-batches-py", hint)


def read_fashion_mnist(request: Request) -> RawData:
    """The 60,000 + 10,000 images of <root>/FashionMNIST/raw.

    Raises: DataError: neither there nor to be downloaded, or damaged; the message says what to put where.
    """
    hint = "put the four *-ubyte.gz files (github.com/zalandoresearch/fashion-mnist) into FashionMNIST/raw"
    return _read("fashion_mnist", "FashionMNIST", request.root, request.root / "FashionMNIST" / "raw", hint)


def _read(name: str, loader: str, root: Path, folder: Path, hint: str) -> RawData:
    train, test = _open(name, loader, root, folder, hint)
    labels = tuple(train.classes)
    images = [np.asarray(part.data) for part in (train, test)]
    targets = np.concatenate([np.asarray(part.targets) for part in (train, test)])
    num_train = len(images[0])

    def make(i: int) -> Item:
        split, at = ("train", i) if i < num_train else ("test", i - num_train)
        pixels = images[split == "test"][at]
        return Item(pixels if pixels.ndim == 3 else pixels[:, :, None], labels[targets[i]], f"{split} {at}", split)

    return RawData(name=name, kind="image", labels=labels, items=LazyItems(len(targets), make))


def _open(name: str, loader: str, root: Path, folder: Path, hint: str) -> tuple[Any, Any]:
    """torchvision's train and test parts; it takes seconds to import and prints, so both are kept out of stdout."""
    there = folder.is_dir()
    before = socket.getdefaulttimeout()
    try:
        import torchvision.datasets

        make = getattr(torchvision.datasets, loader)
        with contextlib.redirect_stdout(sys.stderr):
            try:
                return make(root, train=True), make(root, train=False)
            except RuntimeError:  # not there, or not intact: torchvision says the same for both
                socket.setdefaulttimeout(TIMEOUT_S)
                root.mkdir(parents=True, exist_ok=True)
                return make(root, train=True, download=True), make(root, train=False, download=True)
    except ModuleNotFoundError as exc:
        raise DataError(f"data set '{name}': needs torchvision; install slipway[train] ({exc})") from exc
    except (OSError, RuntimeError, EOFError, ValueError) as exc:
        state = "is incomplete or damaged" if there else "is not there"
        reason = " ".join(str(exc).split())[:200]
        raise DataError(
            f"data set '{name}': {folder} {state}, and the download failed ({type(exc).__name__}: {reason}); "
            f"{hint} below {root}, or set SLIPWAY_DATA to the folder that has it"
        ) from exc
    finally:
        socket.setdefaulttimeout(before)
