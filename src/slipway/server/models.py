"""A served model: its files fetched, verified, self-tested, and only then ready.

Two kinds: `BundleModel`, a release with its preprocessing, and `GraphModel`, any ONNX file with its own tensors.
"""

import logging
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.errors import ConfigError
from slipway.protocol.rest import InferRequest
from slipway.protocol.tensors import Tensor
from slipway.server.call import Call
from slipway.server.scheduler import Graph, Scheduler

log = logging.getLogger("slipway.server")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Model names and versions stand in URLs and metric labels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where models of a server live and run."""

    cache: Path
    """Releases from a store are kept here."""
    scheduler: Scheduler
    public_key: Path | None = None
    """Whose signature releases must have; None: none."""
    on_batch: Callable[["ServedModel", int], object] = lambda _model, _items: None
    """Told the items of each call of an engine."""


class ServedModel(ABC):
    """A model by name; not `ready` until `load` has proved it."""

    family = ""
    architecture = ""
    variant = ""
    """Engine and precision, once it is ready."""
    _graph: Graph
    """Set by `_open`."""

    def __init__(self, name: str, source: str, *, version: str = "") -> None:
        """`source`: directory or store URI of a release or bundle, or an ONNX file. `version`: empty: of its digest's start.

        Raises: ConfigError: the name or version has characters that do not belong in a URL.
        """
        for what, value in (("model name", name), ("model version", version or "0")):
            if not NAME.fullmatch(value):
                raise ConfigError(
                    f"{what}: '{value[:80]}' must be letters, digits, '.', '_' and '-', starting with letter or digit"
                )
        self.name, self.source, self.version = name, source, version
        self.digest = ""
        self.ready = False
        self.failed = ""
        """Why loading it failed."""

    def load(self, place: Place) -> None:
        """Fetch, verify, open and prove; does nothing when that was done.

        Raises:
            BundleError: damaged, not signed, incomplete, or not answering as on the exporting machine.
            StoreError: not reachable.
        """
        if self.ready:
            return
        started = time.perf_counter()
        try:
            self._open(place)
        except Exception as exc:
            self.failed = str(exc)
            raise
        self.version = self.version or self.digest[:12]
        self.ready, self.failed = True, ""
        seconds = round(time.perf_counter() - started, 3)
        log.info(
            "model ready",
            extra={
                "model": self.name,
                "version": self.version,
                "digest": self.digest,
                "variant": self.variant,
                **self.how(),
                "seconds": seconds,
            },
        )

    @property
    def max_batch(self) -> int:
        """Items of different requests that share a call."""
        return self._graph.max_batch

    @abstractmethod
    def infer(self, request: InferRequest, call: Call) -> Sequence[Tensor]:
        """The outputs asked for, in that order. In a worker thread.

        Raises: RequestError, DataError: the request does not fit the model; the message names the tensor or item.
        """

    @abstractmethod
    def metadata(self) -> dict[str, Any]:
        """The protocol's model metadata."""

    @abstractmethod
    def example(self) -> dict[str, Any]:
        """A request that works, as JSON."""

    def how(self) -> dict[str, Any]:
        """How it runs on this machine: threads and batches."""
        return {"all_threads_when_alone": self._graph.whole is not None, "max_batch": self.max_batch}

    def _on_batch(self, place: Place) -> Callable[[int], object]:
        return lambda items: place.on_batch(self, items)

    @abstractmethod
    def _open(self, place: Place) -> None:
        """Set digest, variant, graph and all that answering needs."""


def served_model(name: str, source: str, *, version: str = "") -> ServedModel:
    """The model of a release, bundle or, by its ending, an ONNX file. Raises: ConfigError: see `ServedModel`."""
    from slipway.server.bundle_model import BundleModel
    from slipway.server.graph_model import GraphModel

    return (GraphModel if source.endswith(".onnx") else BundleModel)(name, source, version=version)
