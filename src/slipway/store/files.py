"""Complete or absent: directories and files that appear by one rename, with a manifest of SHA-256 sums written last."""

import errno
import hashlib
import itertools
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path, PurePosixPath
from typing import Any

from slipway.errors import BundleError

MANIFEST = "MANIFEST.json"
VOLATILE = frozenset({"timings.json", "model_card.html"})
"""Files that differ between equal runs (times, the run's name): summed in the manifest, left out of the digest."""
_COUNTER = itertools.count()


@dataclass(frozen=True, slots=True)
class Manifest:
    """Names, sizes and sums of an artifact's files."""

    files: Mapping[str, tuple[str, int]]
    """POSIX path below the artifact -> (SHA-256 hex, size in bytes); MANIFEST.json itself is not in it."""

    @property
    def digest(self) -> str:
        """Identity of the artifact: SHA-256 hex over the sums of its files that are not volatile."""
        return digest_of(self.files)


def digest_of(files: Mapping[str, tuple[str, int]]) -> str:
    """SHA-256 hex over the sorted `name sum` lines, volatile files left out."""
    lines = "".join(f"{name} {files[name][0]}\n" for name in sorted(files) if not is_volatile(name))
    return hashlib.sha256(lines.encode()).hexdigest()


def is_volatile(name: str) -> bool:
    """Whether a file of this POSIX path may differ between equal artifacts; see VOLATILE."""
    return PurePosixPath(name).name in VOLATILE


def sha256_file(path: Path) -> str:
    """SHA-256 hex of a file's bytes."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, and a crash leaves either."""
    with atomic_file(path) as f:
        f.buffer.write(data)


@contextmanager
def atomic_file(path: Path) -> Iterator[TextIOWrapper]:
    """A UTF-8 file to write (its `buffer` takes bytes), shown when the block ends without an exception; see `write_bytes`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(path)
    scratch = _scratch_for(path, "partial")
    try:
        with scratch.open("w", encoding="utf-8", newline="") as f:
            yield f
            f.flush()
            os.fsync(f.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    _fsync_dir(path.parent)


def write_json(path: Path, value: object, *, sort_keys: bool = True) -> None:
    """`write_bytes` of readable JSON, without NaN. `sort_keys=False` keeps an order that means something."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The object that `write_json` wrote."""
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


@contextmanager
def atomic_dir(target: Path, *, expect: Manifest | None = None, replace: bool = True) -> Iterator[Path]:
    """Yield a scratch directory that becomes `target` when the block ends without an exception.

    The manifest is written last, everything is flushed to disk, then one rename shows it. A kill at any point leaves
    `target` absent or complete, never half-written; what earlier kills left behind is cleared.

    Args:
        expect: the files that must be there in the end, with their sums (a copy or a download). None: whatever is made.
        replace: whether an existing `target` gives way. With False, of two writers the first stays.
    Raises:
        BundleError: a file is not as in `expect`; the message names it, and nothing appears.
        FileExistsError: `target` is there and `replace` is False.
    """
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(target)
    if target.exists() and not replace:
        raise FileExistsError(errno.EEXIST, "exists already", str(target))
    scratch = _scratch_for(target, "partial")
    scratch.mkdir()
    try:
        yield scratch
        manifest = write_manifest(scratch)
        if expect is not None:
            _compare(expect.files, manifest.files, target)
        if replace and target.exists():  # a directory cannot be renamed over a full one
            old = _scratch_for(target, "old")
            target.rename(old)
            scratch.rename(target)
            remove(old)
        else:
            _rename_new(scratch, target)
        _fsync_dir(target.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """Yield a scratch directory that becomes `target` by one rename when the block ends without an exception.

    It has no manifest: for what can be made anew and has too many files to sum, such as an environment of libraries. Of two
    writers at once the first stays, and the second's is dropped.
    """
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(target)
    scratch = _scratch_for(target, "partial")
    scratch.mkdir()
    try:
        yield scratch
        with suppress(FileExistsError):
            _rename_new(scratch, target)
        _fsync_dir(target.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def remove(path: Path) -> None:
    """Delete a file or directory; nothing there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def discard(path: Path, *, unless: Callable[[], bool] | None = None) -> bool:
    """Delete a directory or file such that it is there in full or not at all, even when killed.

    Args:
        unless: asked once `path` is out of sight: True puts it back.
    Returns: whether it is gone.
    """
    if not path.exists():
        return True
    old = _scratch_for(path, "old")
    path.rename(old)
    wanted = True  # put it back, too, when the question cannot be answered
    try:
        wanted = unless is not None and unless()
    finally:
        if wanted:
            with suppress(FileExistsError):  # another writer brought it again meanwhile
                _rename_new(old, path)
        remove(old)
    return not wanted


def measure(path: Path) -> tuple[int, float]:
    """Bytes of a file or of all files below a directory, and when the newest of them was written, in seconds since 1970."""
    stats = [path.lstat()]
    for inside in path.rglob("*"):
        with suppress(FileNotFoundError):  # a scratch file of somebody at work
            stats.append(inside.lstat())
    return sum(s.st_size for s in stats if not stat.S_ISDIR(s.st_mode)), max(s.st_mtime for s in stats)


def leftovers(root: Path, *, older_than_s: float) -> dict[Path, int]:
    """What killed processes left below `root`: path -> bytes.

    What a process of this machine still works on is not among them. Processes of other machines that share the directory
    cannot be seen from here: unfinished artifacts count only when nothing was written to them for `older_than_s`.
    """
    found: dict[Path, int] = {}
    for folder, subfolders, names in os.walk(root):
        scratch = [n for n in (*subfolders, *names) if is_scratch(n)]
        subfolders[:] = [n for n in subfolders if not is_scratch(n)]
        for path in (Path(folder) / n for n in scratch):
            try:
                size, newest = measure(path)
            except FileNotFoundError:  # its owner finished meanwhile
                continue
            outgoing = ".old-" in path.name  # replaced or deleted: nobody waits for it, whatever its age
            if not _owned(path) and (outgoing or time.time() - newest >= older_than_s):
                found[path] = size
    return found


def is_scratch(name: str) -> bool:
    """Whether a file or directory name is that of an unfinished or outgoing artifact: never show these."""
    return name.startswith(".") and (".partial-" in name or ".old-" in name)


def write_manifest(directory: Path) -> Manifest:
    """Sum every file below `directory` and write MANIFEST.json there. For directories not made by `atomic_dir`, too."""
    files: dict[str, tuple[str, int]] = {}
    for name in present(directory):
        path = directory / name
        _fsync_file(path)
        files[name] = (sha256_file(path), path.stat().st_size)
    manifest = Manifest(files)
    write_json(
        directory / MANIFEST,
        {"format": 1, "digest": manifest.digest, "files": {k: {"sha256": s, "bytes": n} for k, (s, n) in files.items()}},
    )
    return manifest


def parse_manifest(data: bytes, where: str) -> Manifest:
    """Manifest from the bytes of a MANIFEST.json; `where` names it in errors.

    Raises: BundleError: not JSON, a newer format, or a digest that does not follow from the sums.
    """
    try:
        raw = json.loads(data)
        if raw["format"] != 1:  # before the rest, which another format may have elsewhere
            raise BundleError(f"{where}/{MANIFEST}: format {raw['format']}, this version reads 1; upgrade slipway")
        manifest = Manifest({str(k): (str(v["sha256"]), int(v["bytes"])) for k, v in raw["files"].items()})
        digest = raw["digest"]
    except BundleError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise BundleError(
            f"{where}/{MANIFEST}: damaged ({type(exc).__name__}: {exc}); fetch or make the artifact again"
        ) from exc
    for name in manifest.files:
        if name.startswith("/") or ".." in PurePosixPath(name).parts:
            raise BundleError(f"{where}/{MANIFEST}: '{name}' points outside the artifact")
    if manifest.digest != digest:
        raise BundleError(f"{where}/{MANIFEST}: digest {digest[:12]} does not follow from its sums ({manifest.digest[:12]})")
    return manifest


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a local artifact, without looking at the files.

    Raises: BundleError: there is none (the artifact is incomplete), or it is damaged.
    """
    path = directory / MANIFEST
    if not path.is_file():
        raise BundleError(f"{directory}: no {MANIFEST}; not a complete artifact of slipway")
    return parse_manifest(path.read_bytes(), str(directory))


def verify(directory: Path) -> Manifest:
    """Check every file of a local artifact against its manifest.

    Raises: BundleError: a file is missing, altered, or not in the manifest; the message names it.
    """
    manifest = read_manifest(directory)
    for name, (sha256, size) in manifest.files.items():
        path = directory / name
        if not path.is_file():
            raise BundleError(f"{path}: missing, though {MANIFEST} lists it; fetch or make the artifact again")
        if path.stat().st_size != size or sha256_file(path) != sha256:
            raise BundleError(f"{path}: altered, its SHA-256 is not the one in {MANIFEST}; fetch or make the artifact again")
    if extra := sorted(set(present(directory)) - set(manifest.files)):
        raise BundleError(f"{directory / extra[0]}: not listed in {MANIFEST}; remove it or make the artifact again")
    return manifest


def present(directory: Path) -> list[str]:
    """POSIX paths of the files below `directory`, sorted, without its own manifest (one of an artifact inside it counts)."""
    own = directory / MANIFEST
    return sorted(p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file() and p != own)


def _compare(expected: Mapping[str, tuple[str, int]], found: Mapping[str, tuple[str, int]], target: Path) -> None:
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            state = "missing" if name not in found else "not listed" if name not in expected else "altered"
            raise BundleError(
                f"{target / name}: {state} after the copy, against its {MANIFEST}; fetch or make the artifact again"
            )


def _rename_new(scratch: Path, target: Path) -> None:
    try:
        scratch.rename(target)
    except OSError as exc:
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # another writer was quicker
            raise FileExistsError(errno.EEXIST, "exists already", str(target)) from exc
        raise


def _scratch_for(path: Path, kind: str) -> Path:
    """A name beside `path` that says who owns it: pid and start time, since pids come again (in containers, always)."""
    pid = str(os.getpid())
    return path.with_name(f".{path.name}.{kind}-{pid}.{_start_time(pid)}-{next(_COUNTER)}")


def _clear_leftovers(target: Path) -> None:
    """Remove what killed processes left beside `target`; a living process, and each thread of it, keeps its own."""
    prefixes = (f".{target.name}.partial-", f".{target.name}.old-")
    for path in target.parent.iterdir():
        if path.name.startswith(prefixes) and not _owned(path):
            remove(path)


def _owned(path: Path) -> bool:
    """Whether the process that made a scratch path is alive; see `_scratch_for`."""
    pid, _, start = path.name.rpartition("-")[0].rpartition("-")[2].partition(".")
    return bool(start) and _start_time(pid) == start


def _start_time(pid: str) -> str:
    """Clock ticks since boot at which a process started; empty when there is none, or only its zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in "ZX" else fields[18]


def _fsync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _fsync_dir(path: Path) -> None:
    _fsync_file(path)
