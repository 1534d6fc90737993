"""Raw bytes to model input, as saved state of the model: the one decoder, resampler and tokeniser of the product.

Does not belong here: casting, scaling and normalising (inside the graph), and augmentation (training).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from slipway.errors import BundleError, unknown

Raw = bytes | str | NDArray[np.uint8]
"""One item as a client sends it: encoded image or UTF-8 text as bytes, text as str, pixels as uint8 [H, W, C]."""


class Preprocess(Protocol):
    """What every kind of preprocessing can do; the same object serves training, evaluation and serving."""

    kind: ClassVar[str]
    """Name in `KINDS`, stored in the state."""
    input_name: ClassVar[str]
    """The served tensor's name: `image` or `text`."""

    def encode(self, items: Sequence[Raw]) -> dict[str, NDArray[Any]]:
        """Graph inputs by name for a batch of raw items; every array's first axis has len(items) entries.

        Raises: DataError: an item cannot be read; the message starts with its position, `item 3: …`.
        """
        ...

    def save(self, directory: Path) -> dict[str, Any]:
        """Write the files the state needs into `directory` and return the rest as JSON values."""
        ...


KINDS = {
    "image": "slipway.preprocess.image:ImagePreprocess",
    "tfidf": "slipway.preprocess.text:TfidfPreprocess",
    "wordpiece": "slipway.preprocess.text:EncoderPreprocess",
}


def restore(state: Mapping[str, Any], directory: Path) -> Preprocess:
    """The preprocessing that `Preprocess.save` wrote.

    Raises: BundleError: a kind or version this code does not know.
    """
    from importlib import import_module

    kind = str(state.get("kind"))
    if kind not in KINDS:
        raise BundleError(unknown(f"{directory}: preprocessing", kind, KINDS))
    module, _, name = KINDS[kind].partition(":")
    restored: Preprocess = getattr(import_module(module), name).restore(state, directory)
    return restored
