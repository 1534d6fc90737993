"""What made an artifact: code, libraries, processor. Equal answers here are what equal digests are promised for."""

import hashlib
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import slipway

FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8")
"""Processor flags that change which kernels run, and so the last bits of a result."""
LIBRARIES = ("numpy", "pillow", "onnxruntime", "onnx", "torch", "torchvision", "scikit-learn", "transformers", "tokenizers")


def environment(threads: int) -> dict[str, Any]:
    """Python, library versions, processor flags and threads of this process, as JSON values."""
    return {
        "slipway": slipway.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_flags": cpu_flags(),
        "threads": threads,
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
    }


def cpu_flags() -> list[str]:
    """Those of FLAGS that this processor has, sorted; empty where /proc/cpuinfo does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return sorted(set(FLAGS) & set(line.split()))


def code_fingerprint() -> str:
    """SHA-256 hex over the names and bytes of the package's Python files: which code made this."""
    root = Path(slipway.__file__).parent
    total = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*.py") if "__pycache__" not in p.parts):
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
