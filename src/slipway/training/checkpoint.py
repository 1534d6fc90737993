"""How a killed run goes on: after each epoch its whole state goes to the store, by one atomic write, without pickle."""

import hashlib
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from slipway.errors import NotFoundError
from slipway.training.history import EpochRecord
from slipway.training.loop import State
from slipway.training.optim import Optimizer
from slipway.training.recipe import TrainConfig

if TYPE_CHECKING:
    from slipway.store.uri import Store

_NUMBERS = "numbers"
"""The tensor that holds what is no tensor: JSON as uint8."""


class StoredState:
    """The state of one run, in the store below checkpoints/<key>/."""

    def __init__(self, store: "Store", key: str) -> None:
        self._store, self._prefix = store, f"checkpoints/{key}"
        self._state = f"{self._prefix}/state.safetensors"

    def save(self, state: State, model: nn.Module, optim: Optimizer, scaler: Any) -> None:
        """See `loop.Keeper.save`."""
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        if state.best_epoch != state.epoch:  # else the model's own weights are the best
            tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
        tensors |= {f"optim.{name}": tensor for name, tensor in optim.state_dict().items()}
        numbers = {
            "epoch": state.epoch,
            "best_epoch": state.best_epoch,
            "history": [asdict(record) for record in state.history],
            "scaler": scaler.state_dict(),
        }
        tensors[_NUMBERS] = torch.frombuffer(bytearray(json.dumps(numbers).encode()), dtype=torch.uint8)
        self._store.put_bytes(self._state, save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}))

    def load(self, model: nn.Module, optim: Optimizer, scaler: Any) -> State | None:
        """See `loop.Keeper.load`."""
        try:
            tensors = load(self._store.get_bytes(self._state))
        except NotFoundError:
            return None
        except SafetensorError as exc:
            sys.stderr.write(f"{self._store.uri}/{self._state}: cannot be read ({exc}); training starts anew\n")
            return None
        numbers = json.loads(bytes(tensors.pop(_NUMBERS).tolist()))
        weights, best, optimizer = (_below(part, tensors) for part in ("model.", "best.", "optim."))
        model.load_state_dict(weights)
        optim.load_state_dict(optimizer)
        scaler.load_state_dict(numbers["scaler"])
        return State(
            epoch=numbers["epoch"],
            best_epoch=numbers["best_epoch"],
            history=[EpochRecord(**record) for record in numbers["history"]],
            best=best or weights,
        )

    def clear(self) -> None:
        """Remove the state: the checkpoint it led to is complete."""
        self._store.delete(self._prefix)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def run_key(config: TrainConfig, dataset_digest: str) -> str:
    """Name of a run's state: equal configuration, data, code and libraries go on where the other stopped, nothing else does."""
    from slipway import provenance

    made_of = [asdict(config), dataset_digest, provenance.code_fingerprint(), torch.__version__]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]
