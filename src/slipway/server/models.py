"""A served model: its release fetched, verified, self-tested, and only then ready."""

import logging
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import bundle as bundles
from slipway.bundle import Bundle
from slipway.errors import ConfigError
from slipway.explain.explanation import Explanation, explain, methods
from slipway.preprocess import Raw
from slipway.server import codec
from slipway.store import files

log = logging.getLogger("slipway.server")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Model names and versions stand in URLs and metric labels."""


class ServedModel:
    """A model by name; `bundle` is None until `load` has proved it."""

    def __init__(self, name: str, source: str, *, version: str = "") -> None:
        """`source`: directory or store URI of a release or bundle. `version`: empty means the start of its digest.

        Raises: ConfigError: the name or version has characters that do not belong in a URL.
        """
        for what, value in (("model name", name), ("model version", version or "0")):
            if not NAME.fullmatch(value):
                raise ConfigError(
                    f"{what}: '{value[:80]}' must be letters, digits, '.', '_' and '-', starting with letter or digit"
                )
        self.name, self.source, self.version = name, source, version
        self.digest = ""
        self.bundle: Bundle | None = None

    def load(self, *, cache: Path, threads: int = 0) -> None:
        """Fetch, verify, open and self-test; does nothing when that was done.

        Args:
            cache: where releases from a store are kept.
            threads: of the engine; 0 leaves the choice to onnxruntime.
        Raises: BundleError: damaged, incomplete, or not answering as on the exporting machine. StoreError: not reachable.
        """
        if self.bundle is not None:
            return
        started = time.perf_counter()
        path = Path(self.source)
        if "://" in self.source:
            from slipway.store.uri import fetch  # the S3 client is not needed for a directory

            path = fetch(self.source, cache)
        loaded = bundles.load(path, threads=threads, prove=True)
        for variant, reason in loaded.passed_over.items():
            log.warning("variant passed over", extra={"model": self.name, "variant": variant, "reason": reason})
        self.digest = files.read_manifest(path).digest
        self.version = self.version or self.digest[:12]
        self.bundle = loaded
        log.info(
            "model ready",
            extra={
                "model": self.name,
                "version": self.version,
                "digest": self.digest,
                "variant": loaded.variant,
                "seconds": round(time.perf_counter() - started, 3),
            },
        )

    def predict(self, items: Sequence[Raw], observe: Callable[[str, float], None]) -> tuple[list[str], NDArray[np.float32]]:
        """Labels and probabilities [N, K]; `observe` is told the seconds of each phase.

        Raises: DataError: an item cannot be read; the message starts with its position.
        """
        assert self.bundle is not None, "ready is checked before"
        probabilities_NK = self.bundle.predict(items, observe=observe)
        labels = self.bundle.labels
        return [labels[k] for k in probabilities_NK.argmax(axis=1)], probabilities_NK

    def explain(self, items: Sequence[Raw]) -> tuple[list[str], NDArray[np.float32], list[Explanation]]:
        """As `predict`, with the reasons for each label; costs two answers an item where the graph has a map, else many.

        Raises: DataError: see `predict`.
        """
        assert self.bundle is not None, "ready is checked before"
        told = explain(self.bundle, items)
        return [e.label for e in told], np.stack([e.probabilities_K for e in told]), told

    def metadata(self) -> dict[str, Any]:
        """The protocol's model metadata; the class order stands beside `probabilities`."""
        assert self.bundle is not None, "ready is checked before"
        name = self.bundle.preprocess.input_name
        parameters: dict[str, Any] = {"content_type": codec.CONTENT_TYPES[name][0]}
        if name == "image":
            parameters["also"] = "UINT8 [N, H, W, C], C 1 or 3"
        labels = list(self.bundle.labels)
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": "slipway_onnx",
            "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1], "parameters": parameters}],
            "outputs": [
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(labels)], "parameters": {"labels": labels}},
                {"name": "label", "datatype": "BYTES", "shape": [-1]},
                *(
                    {"name": output, "datatype": datatype, "shape": [-1] * axes, "parameters": {"on_request": True}}
                    for output, (datatype, axes) in codec.EXPLAINED[name].items()
                ),
            ],
            "parameters": {
                "digest": self.digest,
                "family": self.bundle.family,
                "architecture": str(self.bundle.meta["architecture"]),
                "variant": self.bundle.variant,
                "passed_over": dict(self.bundle.passed_over),
                "explained_by": methods(self.bundle)[0],
                "max_items": codec.MAX_ITEMS,
                "max_explained_items": codec.MAX_EXPLAINED,
            },
        }

    def example(self) -> dict[str, Any]:
        """A request that works: the first item of the self-test."""
        import binascii

        assert self.bundle is not None, "ready is checked before"
        item = bundles.selftest_items(self.bundle)[0]
        assert isinstance(item, bytes), "as a client sends it"
        name = self.bundle.preprocess.input_name
        data = item.decode("utf-8") if name == "text" else binascii.b2a_base64(item, newline=False).decode()
        return {"inputs": [{"name": name, "shape": [1], "datatype": "BYTES", "data": [data]}]}
