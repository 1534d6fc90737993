"""Memory that one request frees stays with the process for the next."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of `mallopt`, from malloc.h."""
LARGEST_BLOCK_BYTES = 16 * 2**20
"""From here on a block is the kernel's own and goes back to it at once."""
KEPT_BYTES = 64 * 2**20
"""That may lie free at the end of one of malloc's heaps before it is given back."""


def keep_freed_memory() -> bool:
    """Have glibc keep the pages of tensors for the next request, where it would give them back and take them anew, zeroed.

    By default a second tensor of some hundred kB in flight is enough for that: 60 page faults, and a tenth to a fifth of the
    CPU, of a gRPC request with 480 kB. Both settings, since either one alone switches off the other's growing with use.
    Returns: False: the C library has no such settings (musl, macOS), and nothing has changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all((mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK_BYTES), mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)))
