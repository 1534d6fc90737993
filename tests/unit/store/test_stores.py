"""What every store promises, asked of each kind of store."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from slipway.errors import BundleError, ConfigError, ConflictError, NotFoundError, StoreError
from slipway.store import files
from slipway.store.local import LocalStore
from slipway.store.uri import fetch, open_store
from tests.helpers.artifacts import CONTENT
from tests.helpers.killing import killing
from tests.helpers.minio_server import minio_server, s3_bucket  # noqa: F401
from tests.helpers.servers import DEADLINE_S


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_store_gives_back_every_file_of_an_artifact(store, make_artifact, tmp_path):
    artifact = make_artifact()
    uri = store.put_dir(artifact, "models/cv-digits/abc")
    assert uri == f"{store.uri}/models/cv-digits/abc"
    assert store.get_dir("models/cv-digits/abc", tmp_path / "back") == tmp_path / "back"
    assert contents(tmp_path / "back") == contents(artifact)
    assert store.manifest("models/cv-digits/abc").digest == files.verify(tmp_path / "back").digest


def test_store_lists_files_sorted_and_by_whole_path_parts(store, make_artifact):
    store.put_dir(make_artifact(), "models/a/1")
    store.put_bytes("models/ab/note.json", b"{}")
    store.put_bytes("runs/r1/train.json", b"{}")
    listed = store.keys("models/a")
    assert listed == sorted(f"models/a/1/{n}" for n in [*CONTENT, files.MANIFEST])
    assert store.keys("runs") == ["runs/r1/train.json"]
    assert store.keys("runs/r1/train.json") == ["runs/r1/train.json"]
    assert store.keys("runs/r2") == []
    assert len(store.keys()) == len(listed) + 2


def test_store_put_is_idempotent_also_when_only_timings_differ(store, make_artifact):
    first = make_artifact("first")
    second = make_artifact("second", {**CONTENT, "timings.json": b'{"train": 99}'})
    assert store.put_dir(first, "x/1") == store.put_dir(first, "x/1") == store.put_dir(second, "x/1")
    assert store.get_bytes("x/1/timings.json") == CONTENT["timings.json"]


def test_store_refuses_another_artifact_under_a_key_in_use(store, make_artifact):
    store.put_dir(make_artifact("first"), "x/1")
    other = make_artifact("other", {"a": b"b"})
    with pytest.raises(ConflictError, match=r"x/1: holds [0-9a-f]{12}, artifacts are immutable, got [0-9a-f]{12}"):
        store.put_dir(other, "x/1")
    assert store.exists("x/1/weights.bin")


def test_store_refuses_to_bury_loose_files_under_an_artifact(store, make_artifact):
    store.put_bytes("runs/r1/train.json", b"{}")
    with pytest.raises(ConflictError, match="something is there that is no artifact"):
        store.put_dir(make_artifact(), "runs/r1")
    assert store.keys("runs") == ["runs/r1/train.json"]


def test_store_refuses_an_artifact_that_was_altered(store, make_artifact):
    artifact = make_artifact()
    (artifact / "labels.json").write_bytes(b'["cat", "dig"]')
    with pytest.raises(BundleError, match=r"labels\.json: altered"):
        store.put_dir(artifact, "x/1")
    assert store.keys() == []
    (artifact / files.MANIFEST).unlink()
    with pytest.raises(BundleError, match="not a complete artifact"):
        store.put_dir(artifact, "x/1")


def test_store_names_what_is_missing(store, tmp_path):
    for lookup in (store.get_bytes, store.manifest, lambda key: store.get_dir(key, tmp_path / "t")):
        with pytest.raises(NotFoundError, match="nothing/here"):
            lookup("nothing/here")
    assert not store.exists("nothing/here")
    assert not (tmp_path / "t").exists()


def test_store_notices_a_file_altered_inside_it(store, make_artifact, tmp_path):
    store.put_dir(make_artifact(), "x/1")
    store.put_bytes("x/1/weights.bin", b"evil")
    with pytest.raises(BundleError, match=r"weights\.bin: altered"):
        store.get_dir("x/1", tmp_path / "t")
    assert not [p for p in tmp_path.iterdir() if p.name.endswith("t") or files.is_scratch(p.name)]


def test_store_replaces_bytes_and_tells_what_exists(store, make_artifact):
    store.put_bytes("runs/r/step one – ü.json", b"old")
    store.put_bytes("runs/r/step one – ü.json", b"new")
    assert store.get_bytes("runs/r/step one – ü.json") == b"new"
    assert store.exists("runs/r/step one – ü.json")
    store.put_dir(make_artifact(), "x/1")
    assert store.exists("x/1")
    assert not store.exists("x")


def test_store_delete_removes_the_prefix_and_nothing_beside_it(store, make_artifact):
    store.put_dir(make_artifact(), "x/1")
    store.put_dir(make_artifact(), "x/10")
    store.delete("x/1")
    store.delete("x/1")
    assert not store.exists("x/1")
    assert {k.split("/")[1] for k in store.keys("x")} == {"10"}
    store.put_dir(make_artifact("other", {"a": b"b"}), "x/1")


def test_what_is_deleted_is_invisible_when_asked_about_and_put_back_when_wanted(store, make_artifact, tmp_path):
    store.put_dir(make_artifact(), "x/1")
    before = store.entries("x")
    assert {k: e.bytes for k, e in before.items()} == {f"x/1/{n}": len(c) for n, c in CONTENT.items()} | {
        f"x/1/{files.MANIFEST}": before[f"x/1/{files.MANIFEST}"].bytes
    }
    seen = []

    def wanted() -> bool:
        seen.append((store.exists("x/1"), store.keys("x")))
        return True

    def broken() -> bool:
        raise NotFoundError("nobody answers")

    assert store.delete("x/1", unless=wanted) is False
    assert seen == [(False, [])]
    with pytest.raises(NotFoundError):
        store.delete("x/1", unless=broken)
    assert store.keys("x") == sorted(before)
    assert contents(store.get_dir("x/1", tmp_path / "got")) == contents(tmp_path / "made/artifact")
    assert store.delete("x/1", unless=lambda: False) is True
    assert (store.keys(), store.sweep(older_than_s=0, delete=True)) == ([], {})


def test_sweep_takes_what_killed_writers_left_and_nothing_else(store, make_artifact, tmp_path):
    store.put_dir(make_artifact(), "x/1")
    if isinstance(store, LocalStore):
        left = [store.root / "x/.2.partial-999999999.1-0", store.root / "x/.3.old-999999999.1-0"]
        for folder in left:
            folder.mkdir()
            (folder / "weights").write_bytes(b"12345")
        with files.atomic_dir(store.root / "x/4"):  # somebody at work
            unfinished = store.sweep(older_than_s=3600, delete=False)
            every = store.sweep(older_than_s=0, delete=True)
        names = [p.relative_to(store.root).as_posix() for p in left]
    else:
        store.put_bytes("x/2/.uploading", b"digest")
        store.put_bytes("x/3/.uploading", b"")  # a deletion
        for name in ("x/2/weights", "x/3/weights"):
            store.put_bytes(name, b"12345")
        with pytest.raises(StoreError, match=r"x/3: is being deleted .*; try again in 15 minutes"):
            store.put_dir(make_artifact(), "x/3")
        unfinished, every = store.sweep(older_than_s=3600, delete=False), store.sweep(older_than_s=0, delete=True)
        names = ["x/2", "x/3"]
    assert list(unfinished) == names[1:], "an unfinished one may still be at work"
    assert sorted(every) == names
    assert min(every.values()) >= 5
    assert store.sweep(older_than_s=0, delete=False) == {}
    assert store.manifest("x/1")


@pytest.mark.parametrize("key", ["", "/etc", "a//b", "../x", "a/../../x", "a/.", ".x.partial-1", "a\0b"])
def test_store_refuses_keys_that_leave_it(store, key):
    with pytest.raises(ConfigError, match="is not allowed"):
        store.put_bytes(key, b"")


def test_two_writers_of_one_artifact_both_succeed(store_uri, make_artifact):
    artifact = make_artifact()
    with ThreadPoolExecutor(2) as pool:
        uris = set(pool.map(lambda _: open_store(store_uri).put_dir(artifact, "x/1"), range(4)))
    assert len(uris) == 1
    assert files.verify(artifact).digest == open_store(store_uri).manifest("x/1").digest
    assert len(open_store(store_uri).keys()) == len(CONTENT) + 1


def test_fetch_gives_a_verified_directory_and_notices_damage(store, make_artifact, tmp_path):
    uri = store.put_dir(make_artifact(), "models/a/1")
    folder = fetch(uri, tmp_path / "cache")
    assert contents(folder) == contents(tmp_path / "made/artifact")
    assert fetch(uri, tmp_path / "cache") == folder
    if uri.startswith("s3://"):
        (folder / "labels.json").write_bytes(b"damaged")
        assert (fetch(uri, tmp_path / "cache") / "labels.json").read_bytes() == CONTENT["labels.json"]
    with pytest.raises(NotFoundError, match="models/a/2"):
        fetch(store.uri + "/models/a/2", tmp_path / "cache")


KILLED_PUT = f"""{killing("os.rename", "shutil.copyfile", "http.client.send")}
from pathlib import Path
from slipway.store.uri import open_store
store = open_store(sys.argv[2])
armed = True
store.put_dir(Path(sys.argv[3]), "x/1")
"""


def test_put_killed_anywhere_leaves_nothing_visible_and_completes_when_run_again(store_uri, make_artifact):
    artifact = make_artifact(content={"a": b"a" * 1000, "b/c": b"c" * 1000, "timings.json": b"{}"})
    digest = files.verify(artifact).digest
    store = open_store(store_uri)
    store.put_bytes("beside.json", b"{}")
    kills = range(1, 200) if store_uri.startswith("/") else range(2, 200, 3)
    for kill_at in kills:
        done = subprocess.run(
            [sys.executable, "-c", KILLED_PUT, str(kill_at), store_uri, str(artifact)], timeout=60, check=False
        )
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        if not store.exists("x/1"):
            assert store.keys() == ["beside.json"]
            with pytest.raises(NotFoundError):
                store.manifest("x/1")
        if kill_at % 2:  # in between, what one kill left is there when the next one comes
            store.put_dir(artifact, "x/1")
            assert store.manifest("x/1").digest == digest
            assert store.keys("x") == [f"x/1/{n}" for n in sorted([files.MANIFEST, "a", "b/c", "timings.json"])]
            store.delete("x/1")
    assert kill_at > 4, "the hook never fired"
    assert store.manifest("x/1").digest == digest


@pytest.mark.integration
def test_two_writers_whose_timings_differ_leave_an_artifact_that_agrees_with_its_manifest(s3_bucket, make_artifact, tmp_path):  # noqa: F811
    first, second = (open_store(f"s3://{s3_bucket}/some/prefix") for _ in range(2))
    uploaded = {store: threading.Event() for store in (first, second)}
    done = threading.Event()

    def interleaved(store, before, after):
        upload = store._parallel

        def parallel(work, names):
            assert before is None or before.wait(DEADLINE_S)
            upload(work, names)
            uploaded[store].set()
            assert after.wait(DEADLINE_S)

        store._parallel = parallel

    interleaved(first, None, uploaded[second])  # both have uploaded when the first writes its manifest
    interleaved(second, uploaded[first], done)  # and the second looks when the first is done
    artifacts = [make_artifact("first"), make_artifact("second", {**CONTENT, "timings.json": b'{"train": 99}'})]
    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(second.put_dir, artifacts[1], "x/1")
        first.put_dir(artifacts[0], "x/1")
        done.set()
        putting.result(DEADLINE_S)
    assert contents(second.get_dir("x/1", tmp_path / "back")) in [contents(artifact) for artifact in artifacts]
