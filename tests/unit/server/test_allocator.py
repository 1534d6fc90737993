"""The server's memory: what one request frees, the next one gets without the kernel."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from slipway.server.allocator import keep_freed_memory

if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(3)

def use(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        blocks = [b"x" * 2**20 for _ in range(8)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

use(2)
print(use(20))
"""


def _faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, timeout=60)
    if done.returncode == 3:
        pytest.skip("this C library has no mallopt")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_large_blocks_come_without_page_faults():
    assert _faults("kept") < 100
    assert _faults("as it is") > 1000, "the setting is no longer needed"
