"""How a killed run goes on: its whole state goes to the store, by one atomic write, without pickle."""

import hashlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from slipway.config import configured
from slipway.errors import NotFoundError, StoreError
from slipway.training.distributed import ALONE, Workers
from slipway.training.history import EpochRecord
from slipway.training.loop import Parts, State
from slipway.training.recipe import TrainConfig

if TYPE_CHECKING:
    from slipway.store.uri import Store

_NUMBERS = "numbers"
"""The tensor that holds what is no tensor: JSON as uint8."""


class StoredState:
    """The state of one run, in the store below checkpoints/<key>/. Of several workers the first reads it, for all."""

    def __init__(self, store: "Store", key: str, workers: Workers = ALONE) -> None:
        self._store, self._prefix, self._workers = store, f"checkpoints/{key}", workers
        self._state = f"{self._prefix}/state.safetensors"

    def save(self, state: State, parts: Parts) -> None:
        """See `loop.Keeper.save`. Raises: StoreError: it cannot be written; the one before it is still there."""
        tensors = {
            f"{kind}.{name}": tensor
            for kind, tensors in (("best", state.best), *parts.state_dicts().items())
            for name, tensor in tensors.items()
        }
        numbers = {
            "epoch": state.epoch,
            "step": state.step,
            "sums": state.sums,
            "best_epoch": state.best_epoch,
            "history": [asdict(record) for record in state.history],
            "scaler": parts.scaler.state_dict(),
        }
        tensors[_NUMBERS] = torch.frombuffer(bytearray(json.dumps(numbers).encode()), dtype=torch.uint8)
        content = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})
        try:
            self._store.put_bytes(self._state, content)
        except StoreError as exc:
            raise StoreError(
                f"training: epoch {state.epoch + bool(state.step)}: the state could not be kept ({exc}); the last good one is "
                f"still there: make room and run the same again, it goes on from it"
            ) from exc

    def load(self) -> "Loaded | None":
        """The state that was kept; None when there is none, or none that can be read."""
        content = self._workers.same(self._content() if self._workers.rank == 0 else None)
        if content is None:
            return None
        try:
            tensors = load(content)
            numbers = json.loads(bytes(tensors.pop(_NUMBERS).tolist()))
        except (SafetensorError, KeyError, ValueError) as exc:
            sys.stderr.write(f"{self._store.uri}/{self._state}: cannot be read ({exc}); training starts anew\n")
            return None
        return Loaded(tensors, numbers)

    def _content(self) -> bytes | None:
        try:
            return self._store.get_bytes(self._state)
        except NotFoundError:
            return None

    def clear(self) -> None:
        """Remove the state: the checkpoint it led to is complete."""
        self._store.delete(self._prefix)


class Loaded:
    """A kept state, to be put into the parts of the phase it was kept in."""

    def __init__(self, tensors: dict[str, Tensor], numbers: dict[str, object]) -> None:
        self._tensors, self._scaler = tensors, numbers.pop("scaler")
        history = numbers.pop("history")
        records = [EpochRecord(**record) for record in history]  # type: ignore[attr-defined]
        self.state = State(history=records, best=self._below("best."), **numbers)  # type: ignore[arg-type]

    def restore(self, parts: Parts, *, optimizer: bool) -> None:
        """See `loop.Kept.restore`."""
        parts.model.load_state_dict(self._below("model."))
        if parts.average:
            parts.average.load_state_dict(self._below("ema."))
        if optimizer:
            parts.optim.load_state_dict(self._below("optim."))
            parts.scaler.load_state_dict(self._scaler)

    def _below(self, prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in self._tensors.items() if name.startswith(prefix)}


def members(config: TrainConfig) -> list[TrainConfig]:
    """What each network of a training is trained by: one, or those of an ensemble."""
    plain = replace(config, ensemble="", tta="none")
    return [replace(plain, architecture=name, seed=config.seed + i) for i, name in enumerate(config.members)]


def forget(checkpoint: Path, dataset_digest: str, store: "Store") -> None:
    """Remove the states that a checkpoint came of, kept by `train(keep_state=True)`; none is fine."""
    model = json.loads((checkpoint / "model.json").read_text(encoding="utf-8"))
    config = configured(TrainConfig, model["config"], where=f"{checkpoint}/model.json: config")
    for member in members(config):
        StoredState(store, run_key(member, dataset_digest, model.get("start", ""))).clear()


def run_key(config: TrainConfig, dataset_digest: str, start_digest: str = "") -> str:
    """Name of a run's state: equal configuration, data, code and libraries go on where the other stopped, nothing else does.

    Args:
        start_digest: of what `config.start` names, whose place may get other content.
    """
    from slipway import provenance

    given = [asdict(replace(config, tensorboard="")), dataset_digest, start_digest]
    made_of = [*given, provenance.code_fingerprint(), torch.__version__]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]
