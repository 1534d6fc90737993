"""Several processes train one model: torch's DDP over batches that are shared out, started by torchrun.

One process is the ordinary case and needs none of it: `ALONE`.
"""

# B batch

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from slipway.errors import ConfigError, StepFailedError


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes of one training run, as one of them sees them."""

    rank: int = 0
    """Of this process; 0 validates, keeps the state and tells."""
    size: int = 1

    def share(self, positions_B: NDArray[np.int64]) -> NDArray[np.int64]:
        """This process's part of a batch: every item is somebody's, and nobody's twice."""
        return positions_B if self.size == 1 else np.array_split(positions_B, self.size)[self.rank]

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Sums over all processes; each must call it."""
        if self.size == 1:
            return list(numbers)
        tensor = torch.tensor(numbers, dtype=torch.float64, device=_device())
        torch.distributed.all_reduce(tensor)
        return [float(value) for value in tensor.cpu()]

    def same(self, value: bytes | None) -> bytes | None:
        """The first process's value, at every process; each must call it."""
        if self.size == 1:
            return value
        box: list[Any] = [value]
        torch.distributed.broadcast_object_list(box, src=0, device=_device())
        content: bytes | None = box[0]
        return content

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with gradients averaged over the processes; the same parameters."""
        if self.size == 1:
            return model
        device = _device()
        return nn.parallel.DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


ALONE = Workers()


def launched() -> bool:
    """Whether torchrun started this process."""
    return bool(torch.distributed.is_torchelastic_launched())


@contextmanager
def joined(device: str) -> Iterator[Workers]:
    """The processes that torchrun started; `ALONE` when it did not start this one.

    Args:
        device: `cuda` (one GPU a process, NCCL) or `cpu` (gloo).
    Raises:
        ConfigError: this machine has fewer GPUs than processes.
        StepFailedError: another process ended before its time; torchrun says which, and ends this one too.
    """
    if not launched():
        yield ALONE
        return
    if device == "cuda":
        here, gpus = torch.distributed.get_node_local_rank(), torch.cuda.device_count()
        if here >= gpus:
            raise ConfigError(
                f"workers: process {here + 1} of this machine has no GPU of its own, there are {gpus}; start {gpus}"
            )
        torch.cuda.set_device(here)
    torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield Workers(torch.distributed.get_rank(), torch.distributed.get_world_size())
    except RuntimeError as exc:
        if not isinstance(exc, torch.distributed.DistError) and "gloo" not in str(exc):
            raise
        raise StepFailedError("training: another worker is gone, so this one ends; run the same again, it goes on") from exc
    finally:
        torch.distributed.destroy_process_group()


def _device() -> torch.device:
    cuda = torch.distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if cuda else torch.device("cpu")
