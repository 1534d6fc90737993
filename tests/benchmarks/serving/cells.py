"""What is asked of which model, how many at once, and the bars."""

from collections.abc import Sequence
from dataclasses import dataclass

CONCURRENCIES = (1, 8, 32)
"""Connections that each wait for their answer before they ask again."""
MAX_BATCH = 8
"""Of the second ceiling."""
CLEARLY_BEHIND = 0.9
"""Where the best peer reaches less of the ceiling than this, ours must be clearly ahead of it."""

JSON, BINARY, PIXELS, GRPC = "JSON", "binary", "binary pixels", "gRPC"
"""Forms of a request: v2 JSON (files in base64), v2 with the values behind the JSON, the same with decoded pixels, v2 gRPC with
raw contents. A peer's own ways are called by the one they are compared with: its raw body or upload is `binary`."""


@dataclass(frozen=True, slots=True)
class Bar:
    """What a cell must reach."""

    kind: str
    """`share` of the ceiling's throughput, at least; `added` milliseconds of the median over the engine's alone, at most;
    `times` the throughput of stock KServe, at least."""
    value: float


@dataclass(frozen=True, slots=True)
class Cell:
    """A row of the benchmark."""

    request: str
    """What is sent."""
    model: str
    """A name in `models.MODELS`."""
    forms: tuple[str, ...]
    bars: tuple[Bar | None, Bar | None, Bar | None]
    """At each of CONCURRENCIES; None: told, not judged."""


def _shares(*values: float) -> tuple[Bar | None, Bar | None, Bar | None]:
    one, eight, many = (Bar("share", value) for value in values)
    return one, eight, many


CELLS: Sequence[Cell] = (
    Cell("JPEG, 320×240 px", "resnet18_224", (BINARY, JSON), _shares(0.85, 0.95, 0.95)),
    Cell("JPEG, 320×240 px", "mobilenet_v2_224", (BINARY, JSON), _shares(0.85, 0.95, 0.95)),
    Cell("a sentence", "minilm", (JSON,), _shares(0.85, 0.95, 0.95)),
    Cell("gray JPEG, 200 px", "defect_base_200", (BINARY, JSON), _shares(0.80, 0.90, 0.90)),
    Cell("PNG, 32 px", "resnet18_32", (BINARY, JSON), (Bar("added", 0.6), *_shares(0, 0.85, 0.90)[1:])),
    Cell("UINT8 32×32×3", "resnet18_32", (PIXELS,), (None, None, None)),
    Cell("FP32 3×200×200", "small_cnn", (BINARY, GRPC), (Bar("added", 0.8), *_shares(0, 0.60, 0.60)[1:])),
    Cell("FP32 3×200×200", "small_cnn", (JSON,), (Bar("times", 4), Bar("times", 4), Bar("times", 4))),
)
