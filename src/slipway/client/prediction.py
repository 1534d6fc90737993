"""Items to tensors, and tensors to what a model says of each item."""

# N items, K classes, H/W px or cells, C channels

import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.errors import DataError, RequestError, ServerError
from slipway.protocol.rest import InferAnswer
from slipway.protocol.tensors import BYTES, Tensor, of_array

Item = str | bytes | PathLike[str] | NDArray[np.uint8]
"""To a model of images: a path, an encoded file's bytes, or pixels uint8 [H, W, 1 or 3]; to one of texts: a text (bytes: in
UTF-8), or the path of one as a Path."""
Raw = str | bytes | NDArray[np.uint8]
"""As it is sent: a text, an encoded image, pixels."""
MAX_BATCH_BYTES = 16 * 1024 * 1024
"""Items of one request together, a larger one alone; a server takes 64 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What a model says of one item."""

    label: str
    """The most probable class."""
    confidence: float
    """Its probability, 0..1."""
    probabilities: dict[str, float]
    """Of each class, in the model's order."""
    heatmap: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    """Of an explained image: 0..1, [h, w], a grid over what the model sees."""
    tokens: tuple[str, ...] = ()
    """Of an explained text, in its order."""
    attributions: tuple[float, ...] = ()
    """A token each: how far the label's log-odds fall without it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What became of one item of many."""

    source: str
    """Its path, or `reviews.csv row 7`."""
    prediction: Prediction | None
    """None for an item that cannot be read."""
    error: str = ""
    """Why it cannot be read, in one line without its name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Classifier:
    """What a client needs to know of a model that classifies."""

    version: str
    input_name: str
    """`image` or `text`."""
    labels: tuple[str, ...]
    max_items: int
    """Of one request."""
    max_explained_items: int
    reasons: tuple[str, ...]
    """Outputs that are given on request: why the label was answered."""

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "Classifier":
        """From a server's metadata. Raises: RequestError: the model takes tensors of its own."""
        outputs = {port["name"]: port for port in metadata.get("outputs", ())}
        labels = outputs.get("probabilities", {}).get("parameters", {}).get("labels")
        inputs = metadata.get("inputs", ())
        if labels is None or inputs[0]["name"] not in ("image", "text"):
            ports = ", ".join(f"{port['name']} {port['datatype']} {port['shape']}" for port in inputs)
            raise RequestError(f"model '{metadata.get('name', '')}' takes tensors of its own ({ports}); ask it by Client.infer")
        about = metadata["parameters"]
        return cls(
            version=metadata["versions"][-1],
            input_name=inputs[0]["name"],
            labels=tuple(labels),
            max_items=about["max_items"],
            max_explained_items=about["max_explained_items"],
            reasons=tuple(name for name, port in outputs.items() if port.get("parameters", {}).get("on_request")),
        )

    @property
    def of_images(self) -> bool:
        """Whether it takes images; else texts."""
        return self.input_name == "image"

    def read(self, item: Item) -> Raw:
        """What to send. Raises: DataError: it cannot be read, or is none of Item."""
        if isinstance(item, PathLike) or (isinstance(item, str) and self.of_images):
            try:
                item = Path(item).read_bytes()
            except (OSError, ValueError) as exc:  # a null byte in a path
                raise DataError(f"cannot be read ({getattr(exc, 'strerror', None) or exc})") from exc
        if not self.of_images and isinstance(item, str | bytes):
            try:
                return item.decode() if isinstance(item, bytes) else item.encode().decode()
            except (UnicodeDecodeError, UnicodeEncodeError) as exc:
                raise DataError(f"no text in UTF-8 ({exc.reason} at {exc.start})") from exc
        if self.of_images and isinstance(item, bytes):
            return item
        if self.of_images and isinstance(item, np.ndarray):
            if item.dtype != np.uint8 or item.ndim != 3 or item.shape[2] not in (1, 3) or 0 in item.shape:
                raise DataError(f"pixels must be uint8 [H, W, 1 or 3], got {item.dtype} {list(item.shape)}")
            return item
        allowed = "a path, bytes or an array" if self.of_images else "a text"
        raise DataError(f"the model takes {self.input_name}s: {allowed}; got {type(item).__name__}")

    def tensor(self, raws: Sequence[Raw], *, base64: bool) -> Tensor:
        """Raw items of one form as one tensor. `base64`: encoded images so, as JSON has no bytes."""
        if isinstance(raws[0], np.ndarray):
            return of_array(self.input_name, np.stack([np.asarray(raw) for raw in raws]))
        values: Any = raws
        if base64 and self.of_images:
            values = [binascii.b2a_base64(raw, newline=False).decode() for raw in raws if isinstance(raw, bytes)]
        return Tensor(self.input_name, BYTES, (len(raws),), values)

    def predictions(self, answer: InferAnswer) -> list[Prediction]:
        """An item each. Raises: ServerError: the answer has not what was asked for."""
        found = {tensor.name: tensor.values for tensor in answer.outputs}
        probabilities_NK = np.asarray(found.get("probabilities", ()), np.float32)
        if probabilities_NK.ndim != 2 or probabilities_NK.shape[1] != len(self.labels) or "label" not in found:
            said = f"model '{answer.model}': answered no label and probabilities of its {len(self.labels)} classes"
            raise ServerError(said, retryable=False)
        reasons = [_reason(found, i) for i in range(len(probabilities_NK))]
        return [
            Prediction(
                label=text(label),
                confidence=float(row_K.max()),
                probabilities=dict(zip(self.labels, row_K.tolist(), strict=True)),
                **reason,
            )
            for label, row_K, reason in zip(found["label"], probabilities_NK, reasons, strict=True)
        ]


def item_bytes(raw: Raw) -> int:
    """Of one item, as it is sent."""
    return raw.nbytes if isinstance(raw, np.ndarray) else len(raw if isinstance(raw, bytes) else raw.encode())


def batches(entries: Iterable[tuple[str, Raw | DataError]], max_items: int) -> Iterator[list[tuple[str, Raw | DataError]]]:
    """Entries (source, item) in groups that fit one request each, in order: at most so many, of one form, and of
    MAX_BATCH_BYTES together. Items that could not be read stand among them.
    """
    batch: list[tuple[str, Raw | DataError]] = []
    held, form = 0, None
    for source, raw in entries:
        size, its_form = (0, form) if isinstance(raw, DataError) else (item_bytes(raw), getattr(raw, "shape", ()))
        if batch and (len(batch) == max_items or held + size > MAX_BATCH_BYTES or form not in (None, its_form)):
            yield batch
            batch, held, form = [], 0, None
        batch.append((source, raw))
        held, form = held + size, its_form
    if batch:
        yield batch


def text(value: bytes | str) -> str:
    """Of a value of a BYTES tensor."""
    return value if isinstance(value, str) else value.decode()


def _reason(found: Mapping[str, Any], i: int) -> dict[str, Any]:
    """Why item i was answered so, where that was asked for."""
    if "heatmap" in found:
        return {"heatmap": found["heatmap"][i]}
    if "attributions" not in found:
        return {}
    values_T = found["attributions"][i]
    tokens = [text(token) for token in found["tokens"][i * len(values_T) : (i + 1) * len(values_T)]]
    count = sum(1 for token in tokens if token)  # shorter texts are filled up with empty ones
    return {"tokens": tuple(tokens[:count]), "attributions": tuple(values_T[:count].tolist())}
