"""Directories and files that appear by one rename: whatever kills the process, a reader sees all or nothing."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from slipway.errors import BundleError
from slipway.store import files
from tests.helpers.artifacts import CONTENT, write_files

KILL_AT = """
import os, signal, sys
from pathlib import Path
from slipway.store import files
target, kill_at, seen = Path(sys.argv[1]), int(sys.argv[2]), 0
def hook(event, args):
    global seen
    ours = event == "open" and isinstance(args[0], (str, os.PathLike)) and str(target.parent) in str(args[0])
    if ours or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"):
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
"""
MAKE = """
with files.atomic_dir(target) as scratch:
    (scratch / "sub").mkdir()
    (scratch / "sub/new.txt").write_bytes(b"new" * 100)
    (scratch / "b").write_bytes(b"b")
"""
WRITE = """
files.write_bytes(target, b"new" * 100)
"""


def run_killed(body: str, target, kill_at: int) -> bool:
    """Whether the process was killed at its `kill_at`-th change of the file system."""
    done = subprocess.run([sys.executable, "-c", KILL_AT + body, str(target), str(kill_at)], timeout=30, check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


@pytest.mark.parametrize("replaced", [False, True])
def test_directory_killed_at_any_point_is_absent_or_complete(tmp_path, replaced):
    target = tmp_path / "made" / "art[1]"
    target.parent.mkdir()
    complete = set()
    for kill_at in range(1, 100):
        if replaced:
            with files.atomic_dir(target) as scratch:
                (scratch / "old.txt").write_bytes(b"old")
        elif target.exists():
            files.discard(target)
        killed = run_killed(MAKE, target, kill_at)
        visible = [p.name for p in target.parent.iterdir() if not files.is_scratch(p.name)]
        assert visible in ([], [target.name])
        if visible:
            complete.add(tuple(files.verify(target).files))
        if not killed:
            break
    assert kill_at > 8, "the hook never fired"
    assert complete == ({("old.txt",)} if replaced else set()) | {("b", "sub/new.txt")}
    with files.atomic_dir(target):
        pass
    assert [p.name for p in target.parent.iterdir()] == [target.name], "leftovers of killed processes stayed"


def test_file_killed_at_any_point_is_old_or_new(tmp_path):
    target = tmp_path / "made" / "state.json"
    seen = set()
    for kill_at in range(1, 50):
        files.write_bytes(target, b"old")
        killed = run_killed(WRITE, target, kill_at)
        seen.add(target.read_bytes())
        if not killed:
            break
    assert seen == {b"old", b"new" * 100}
    files.write_bytes(target, b"last")
    assert [p.name for p in target.parent.iterdir()] == [target.name]


def test_failing_block_leaves_nothing_and_keeps_what_was(tmp_path):
    target = tmp_path / "a"
    with files.atomic_dir(target) as scratch:
        (scratch / "x").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stop"), files.atomic_dir(target) as scratch:  # noqa: PT012
        (scratch / "x").write_bytes(b"new")
        raise RuntimeError("stop")
    assert (target / "x").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]  # noqa: PTH208


def test_scratch_of_living_writers_is_left_alone(tmp_path):
    """Two threads of a process and another process write the same target at once."""
    target = tmp_path / "a"
    first_in, second_done = threading.Event(), threading.Event()

    def first():
        with files.atomic_dir(target) as scratch:
            (scratch / "who").write_bytes(b"first")
            first_in.set()
            assert second_done.wait(20)

    thread = threading.Thread(target=first)
    thread.start()
    assert first_in.wait(20)
    with files.atomic_dir(target) as scratch:
        (scratch / "who").write_bytes(b"second")
    run_killed(MAKE, target, 0)
    second_done.set()
    thread.join(20)
    files.verify(target)
    assert (target / "who").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]  # noqa: PTH208


def test_without_replace_the_first_of_two_writers_stays(tmp_path):
    with pytest.raises(FileExistsError), files.atomic_dir(tmp_path / "a", replace=False) as scratch:  # noqa: PT012
        (scratch / "x").write_bytes(b"slow")
        with files.atomic_dir(tmp_path / "a", replace=False) as quick:
            (quick / "x").write_bytes(b"quick")
    assert (tmp_path / "a/x").read_bytes() == b"quick"
    with pytest.raises(FileExistsError), files.atomic_dir(tmp_path / "a", replace=False):
        pass


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda d: (d / "labels.json").unlink(), r"labels\.json: missing, though MANIFEST"),
        (lambda d: (d / "nested/deep/er.txt").write_bytes(b"nestee"), r"nested/deep/er\.txt: altered"),
        (lambda d: (d / "empty").write_bytes(b"x"), "empty: altered"),
        (lambda d: (d / "nested/more").write_bytes(b""), "nested/more: not listed in MANIFEST"),
        (lambda d: (d / "inner/MANIFEST.json").unlink(), r"inner/MANIFEST\.json: missing"),
        (lambda d: (d / "MANIFEST.json").unlink(), "not a complete artifact of slipway"),
        (lambda d: (d / "MANIFEST.json").write_bytes(b"{"), r"MANIFEST\.json: damaged"),
        (lambda d: edit_manifest(d, format=2, files=[]), "format 2, this version reads 1; upgrade slipway"),
        (lambda d: edit_manifest(d, digest="0" * 64), "digest 000000000000 does not follow from its sums"),
        (lambda d: edit_manifest(d, files={"../x": {"sha256": "0", "bytes": 1}}), "'../x' points outside the artifact"),
    ],
)
def test_verify_names_the_damage(make_artifact, damage, says):
    artifact = make_artifact()
    files.verify(artifact)
    damage(artifact)
    with pytest.raises(BundleError, match=says) as caught:
        files.verify(artifact)
    assert "\n" not in str(caught.value)


def edit_manifest(directory, **changes):
    path = directory / files.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_digest_depends_on_names_and_bytes_but_not_on_timings_or_order(make_artifact):
    digest = files.verify(make_artifact()).digest
    reordered = dict(reversed([*CONTENT.items()]))
    assert files.verify(make_artifact("b", reordered | {"timings.json": b"else"})).digest == digest
    assert files.verify(make_artifact("c", CONTENT | {"empty": b"x"})).digest != digest
    assert files.verify(make_artifact("d", CONTENT | {"more": b""})).digest != digest


def test_manifest_of_a_directory_written_in_place_is_that_of_an_atomic_one(make_artifact, tmp_path):
    artifact = make_artifact()
    write_files(tmp_path / "in place", CONTENT)
    assert files.write_manifest(tmp_path / "in place") == files.read_manifest(artifact)
    assert (tmp_path / "in place/MANIFEST.json").read_bytes() == (artifact / "MANIFEST.json").read_bytes()
