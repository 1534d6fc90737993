"""The trained network that a training starts from: it goes on, or is pruned first."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from slipway.data.dataset import Dataset
from slipway.errors import BundleError, ConfigError
from slipway.models import architectures
from slipway.models.network import ImageNetwork
from slipway.models.restore import Restored, restore, size_of
from slipway.models.voting import Voting
from slipway.models.widths import count, fit, prune_channels
from slipway.store import files
from slipway.training.given import place, warn_of_seen_items
from slipway.training.recipe import TrainConfig
from slipway.training.sparse import sparsity


@dataclass(frozen=True, slots=True)
class Start:
    """A network to start from, with what its training says of it."""

    restored: Restored
    digest: str
    """Of the checkpoint, bundle or release."""
    parameters: int
    """Of the network before any of its channels were pruned."""
    train_items: NDArray[np.uint64]
    """What it was trained on, see `result`."""

    def model(self, config: TrainConfig, asked: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
        """The network with its weights, pruned as `config` says, and the options it is built with.

        Args:
            asked: the configuration's options of the network; dropout may differ from the one it was trained with.
        Raises: ConfigError: another option differs, or a layer would be left without channels.
        """
        meta = self.restored.meta
        had = {"width": 1.0} | meta["options"]
        for name, value in asked.items():
            if name != "dropout" and value != had.get(name):
                raise ConfigError(f"{name}: start {config.start} has {had.get(name)}, got {value}; set {name}={had.get(name)}")
        options = meta["options"] | asked
        weights = _single(self.restored.model).state_dict()
        model: nn.Module = architectures.build(
            config.architecture, num_classes=len(self.restored.labels), **size_of(meta), **options
        )
        fit(model, weights)
        model.load_state_dict(weights)
        if config.prune_channels:
            assert isinstance(model, ImageNetwork), "TrainConfig refuses it for texts"
            prune_channels(model, config.prune_channels, (meta["input"]["height_px"], meta["input"]["width_px"]))
        return model, options


def open_start(dataset: Dataset, config: TrainConfig, *, cache: Path | None) -> Start:
    """The checkpoint, bundle or release that `config.start` names.

    Args:
        cache: see `given.place`.
    Raises:
        ConfigError: it is not there, an ensemble, or of another architecture, other classes or another input size.
        StoreError: the store does not answer or refuses.
    """
    path = place("start", config.start, cache)
    try:
        restored = restore(path)
    except BundleError as exc:
        raise ConfigError(f"start: {exc}") from exc
    meta = restored.meta
    if len(meta.get("members") or ()) > 1:
        raise ConfigError(f"start: {config.start} is an ensemble; start from a single network")
    theirs = (meta["architecture"], list(restored.labels), getattr(restored.preprocess, "shape", None))
    ours = (config.resolved_architecture, list(dataset.labels), getattr(dataset.preprocess, "shape", None))
    for what, its, wanted in zip(("another architecture", "other classes", "another input size"), theirs, ours, strict=True):
        if its != wanted:
            raise ConfigError(f"start: {config.start} has {what}: {_short(its)}, not {_short(wanted)}")
    warn_of_seen_items("start", path, dataset)
    network = _single(restored.model)
    parameters = meta["pruned"]["parameters_before"] if "pruned" in meta else count(network)
    return Start(restored, files.read_manifest(path).digest, parameters, np.load(path / "train_items.npy"))


def size(model: nn.Module, config: TrainConfig, start: Start | None) -> dict[str, float]:
    """Of a pruned network parameters_before, parameters, and its sparsity; nothing of another."""
    if not (config.prune_channels or config.sparsity or (start and "pruned" in start.restored.meta)):
        return {}
    return {
        "parameters_before": start.parameters if start else count(model),
        "parameters": count(model),
        "sparsity": sparsity(model),
    }


def _single(model: Any) -> nn.Module:
    """The network itself, without the views that it votes over."""
    return model.members[0] if isinstance(model, Voting) else model


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
