"""Small artifacts with every kind of file name."""

from pathlib import Path

CONTENT = {
    "weights.bin": b"\x00\x01" * 5000,
    "labels.json": b'["cat", "dog"]',
    "nested/deep/er.txt": b"nested",
    "empty": b"",
    "timings.json": b'{"train": 1.5}',
    "with space & sign+percent%.txt": b"space",
    "grüße-数据.txt": b"unicode",
    ".hidden": b"dot",
    "inner/MANIFEST.json": b"{}",
}


def write_files(folder: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder
