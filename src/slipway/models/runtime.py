"""What torch runs on: device and precision by what there is, and process-wide switches for the length of a block."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def before_torch() -> None:
    """Call before torch is imported: its threads then sleep while they wait for each other, instead of spinning.

    On two cores with one other busy process custom_cnn trains 457 images/s so, and 24 spinning. A caller's own setting
    stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read once, when torch loads its OpenMP


@contextmanager
def torch_session(*, threads: int, deterministic: bool) -> Iterator[None]:
    """Fix the number of threads, and with `deterministic` the algorithms: equal runs give equal bits.

    Args:
        threads: of torch's operators; 0 leaves torch's own choice.
    """
    import torch

    memory: Any = torch.utils.deterministic
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory
    if deterministic:
        os.putenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS refuses deterministic products without it
        memory.fill_uninitialized_memory = False  # a debugging aid that costs a pass over every new tensor
    # The same switch as use_deterministic_algorithms, which also imports torch's compiler: 2 s, and 9 without byte code.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.set_num_threads(threads or before[0])
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_deterministic_debug_mode(before[1])
        memory.fill_uninitialized_memory = before[2]


def pick_device(name: str) -> str:
    """`auto` to `cuda` where there is one, else `cpu`.

    Raises: ConfigError: `cuda` is asked for and torch sees none.
    """
    import torch

    from slipway.errors import ConfigError

    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: 'cuda' is asked for, but torch sees no CUDA device; use 'auto' or 'cpu'")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def pick_precision(name: str, device: str) -> str:
    """`auto` to `bf16` where the device multiplies it, else `fp32`. A `bf16` that has to be emulated is told on stderr.

    Args:
        device: `cpu` or `cuda`.
    """
    fast = multiplies_bfloat16(device)
    if name == "bf16" and not fast:
        sys.stderr.write(f"precision: bf16 is only emulated on this {device}; fp32 is many times faster, auto picks it\n")
    return ("bf16" if fast else "fp32") if name == "auto" else name


def multiplies_bfloat16(device: str) -> bool:
    """Whether bfloat16 products are faster than float32 ones: on CPUs with AVX512-BF16 or AMX, on GPUs from Ampere on.

    Without them a processor of AVX2 took 400 times as long as for float32 (2048 x 2048, two threads).
    """
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16"))
