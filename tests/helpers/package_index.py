"""What tests that install something do where nothing can be installed."""

import subprocess
import sys
from pathlib import Path

import pytest


def need_package_index(folder: Path) -> None:
    """Skip the test where no package can be fetched; `folder` takes the one that is tried."""
    try_one = ["-m", "pip", "download", "--quiet", "--no-deps", "--retries", "0", "-d", str(folder), "six==1.17.0"]
    if subprocess.run([sys.executable, *try_one], capture_output=True, timeout=120, check=False).returncode:
        pytest.skip("the package index cannot be reached")
