"""What training comes to, and how it is written: the checkpoint directory.

weights.safetensors    the best epoch's; of an ensemble, each member's below members.<i>.
model.json             family, architecture, options, labels, configuration, history, input size, data, preprocessing state
tokenizer.json | vocabulary.json
train_items.npy        uint64, sorted: the first 8 bytes of the content hash of every training item, `start`'s included
training_history.png
timings.json           seconds; outside the digest
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.data.dataset import Dataset
from slipway.preprocess import Preprocess
from slipway.store import files
from slipway.training import history as histories
from slipway.training.history import EpochRecord
from slipway.training.recipe import TrainConfig

FORMAT = 1
TIMED = ("seconds", "items_per_s")
"""Fields of a record that differ between equal runs."""


@dataclass(slots=True)
class Trained:
    """What each way of training comes down to."""

    weights: Mapping[str, Any]
    """Arrays by name."""
    preprocess: Preprocess
    history: list[EpochRecord]
    best: Mapping[str, float]
    """What the checkpoint has on validation, and the epoch it is of."""
    config: TrainConfig
    members: list[dict[str, Any]]
    """`architecture` and `options` of each network: with them, it is built again."""
    start: str = ""
    """Digest of what training started from; empty for fresh or pretrained weights."""
    pruned: Mapping[str, float] = field(default_factory=dict)
    """Of a pruned network: parameters_before, parameters, and its sparsity: the share of zeros among its weights."""
    seen_before: NDArray[np.uint64] | None = None
    """Of the training items of what training started from: hashes, as `write` keeps them."""
    clear: Callable[[], None] = lambda: None
    """Removes the state kept for resuming."""


def timeless(record: EpochRecord) -> dict[str, Any]:
    """A record without its times."""
    return {key: value for key, value in asdict(record).items() if key not in TIMED}


def write(scratch: Path, dataset: Dataset, trained: Trained, seconds: float) -> None:
    """Write a checkpoint's files into `scratch`.

    Args:
        seconds: how long training took.
    """
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in trained.weights.items()}, scratch / "weights.safetensors")
    shape = getattr(trained.preprocess, "shape", None)
    config, first = trained.config, trained.members[0]
    further: dict[str, Any] = {}
    if len(trained.members) > 1:
        further["members"] = trained.members
    if config.tta != "none":
        further["tta"] = config.tta
    if trained.start:
        further["start"] = trained.start
    if trained.pruned:
        further["pruned"] = dict(trained.pruned)
    files.write_json(
        scratch / "model.json",
        {
            "format": FORMAT,
            "family": config.family,
            "architecture": first["architecture"],
            "options": first["options"],
            **further,
            "labels": list(dataset.labels),
            "input": dict(zip(("height_px", "width_px", "channels"), shape, strict=True)) if shape else {},
            "preprocess": trained.preprocess.save(scratch),
            "config": asdict(replace(config, tensorboard="")),
            "data": {
                "name": dataset.name,
                "fingerprint": dataset.fingerprint,
                "counts": {split: dict(counts) for split, counts in dataset.counts.items()},
            },
            "best": dict(trained.best),
            "history": [timeless(record) for record in trained.history],
        },
        sort_keys=False,
    )
    items = dataset.item_hashes("train")
    seen = items if trained.seen_before is None else np.union1d(items, trained.seen_before)
    np.save(scratch / "train_items.npy", np.sort(seen))
    histories.draw(trained.history, int(trained.best["epoch"]), scratch / "training_history.png")
    epochs = [{"epoch": r.epoch, **{k: getattr(r, k) for k in TIMED}} for r in trained.history]
    seconds = max(seconds, sum(r.seconds for r in trained.history))  # of a resumed training `seconds` is the last part's alone
    files.write_json(scratch / "timings.json", {"train_s": seconds, "epochs": epochs})
