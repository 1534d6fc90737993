"""A backup can be made at any time and as often as one likes; what is restored from it serves as before."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from slipway import bundle as bundles
from slipway import settings as settings_
from slipway.errors import BundleError, ConfigError, ConflictError, NotFoundError, TrackingError
from slipway.housekeeping import backup
from slipway.store import files
from slipway.store.uri import fetch, open_store
from slipway.tracking import client, registry
from slipway.tracking.runs import open_run
from tests.helpers.bundles import make_items
from tests.helpers.command import within
from tests.helpers.killing import killing
from tests.helpers.releases import NAME, registered

ITEMS = make_items("nlp", 5)


def elsewhere(settings, folder):
    """Settings of another, empty home, with its own store and registry."""
    return replace(
        settings, home=folder / "höme 2", store=str(folder / "store 2"), tracking_uri=f"sqlite:///{folder / 'höme 2/mlflow.db'}"
    )


def answers(settings, spec=NAME):
    """What the champion says, from where its version points to."""
    version = registry.resolve(spec, settings=settings)
    assert version.release_uri.startswith(open_store(settings.store).uri + "/")
    loaded = bundles.load(fetch(version.release_uri, settings.home / "cache"))
    return version.release_digest, loaded.predict(ITEMS).tolist()


@pytest.fixture
def target(settings, tmp_path, request):
    """Where a backup goes: of the kind of the store."""
    local = str(tmp_path / "backup")
    return local if not settings.store.startswith("s3://") else f"s3://{settings.store.split('/')[2]}/backup"


def test_a_restored_home_elsewhere_serves_the_champion_with_the_same_digest_and_answers(settings, tmp_path, target):
    with open_run("run-1", name=NAME, settings=settings) as run:
        (tmp_path / "report ü.html").write_text("report")
        run.log_files(tmp_path / "report ü.html")
    registered(settings, tmp_path, 1, promote=True)
    registered(settings, tmp_path, 2)
    done = backup.back_up(settings, target)
    assert (done.artifacts, done.runs, done.versions, done.registry) == (4, 2, 2, True)
    before = answers(settings)
    there = elsewhere(settings, tmp_path)
    assert backup.restore(there, target) == done
    shutil.rmtree(settings.home)
    open_store(settings.store).delete("models")
    assert answers(there) == before
    assert [v.aliases for v in registry.versions(NAME, settings=there)] == [("champion",), ("challenger",)]
    assert set(open_store(there.store).keys("runs")) == {"runs/run-1/train.json", "runs/run-2/train.json"}
    c = client.connect(there.tracking_uri)
    local = c.download_artifacts(run.id, "report ü.html", str(tmp_path))
    assert Path(local).read_text() == "report"
    registered(there, tmp_path, 3, promote=True)
    assert len(registry.versions(NAME, settings=there)) == 3, "and life goes on there"
    with sqlite3.connect(there.tracking_uri.removeprefix("sqlite:///")) as db:
        assert not [line for line in db.iterdump() if f"{settings.home}/" in line or f"{settings.store}/" in line]


def test_the_same_target_again_takes_what_is_new_and_keeps_one_registry(settings, tmp_path, target):
    registered(settings, tmp_path, 1, promote=True)
    backup.back_up(settings, target)
    first = set(open_store(target).keys())
    registered(settings, tmp_path, 2, promote=True)
    assert backup.back_up(settings, target).versions == 2
    index = json.loads(open_store(target).get_bytes(backup.INDEX))
    assert {f"blobs/{d}" for d in index["blobs"].values()} == set(open_store(target).keys("blobs"))
    assert {k for k in first if not k.startswith("blobs/")} < set(open_store(target).keys())
    there = elsewhere(settings, tmp_path)
    backup.restore(there, target)
    assert answers(there) == answers(settings)


@pytest.mark.parametrize("kind", ["artifact", "blob", "index", "gone"])
def test_restore_refuses_a_damaged_backup_and_shows_no_registry(own, tmp_path, kind):
    registered(own, tmp_path, 1, promote=True)
    target = tmp_path / "backup"
    backup.back_up(own, str(target))
    index = json.loads((target / backup.INDEX).read_text())
    path = {
        "artifact": lambda: next((target / "models").rglob("weights.safetensors")),
        "blob": lambda: target / "blobs" / index["blobs"]["mlflow.db"],
        "index": lambda: target / backup.INDEX,
        "gone": lambda: target / "blobs" / index["blobs"]["runs/run-1/train.json"],
    }[kind]()
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f") if kind != "gone" else path.unlink()
    there = elsewhere(own, tmp_path)
    with pytest.raises(BundleError, match=r"altered|damaged|missing") as caught:
        backup.restore(there, str(target))
    assert str(path.name) in str(caught.value)
    assert not (there.home / "mlflow.db").exists()


def test_restore_refuses_what_is_not_empty_unless_told(own, tmp_path):
    registered(own, tmp_path, 1, promote=True)
    target = str(tmp_path / "backup")
    backup.back_up(own, target)
    with pytest.raises(ConflictError, match=r"mlflow\.db: a registry is there already; .*--replace"):
        backup.restore(own, target)
    registered(own, tmp_path, 2, promote=True)
    there = elsewhere(own, tmp_path)
    open_store(there.store).put_bytes("runs/other/train.json", b"{}")
    with pytest.raises(ConflictError, match=r"not empty \(runs/other/train\.json and 0 more"):
        backup.restore(there, target)
    backup.restore(there, target, replace_registry=True)
    assert registry.champion(NAME, settings=there).version == 1
    assert open_store(there.store).exists("runs/other/train.json")
    with pytest.raises(NotFoundError, match=r"no complete backup there \(no BACKUP\.json\)"):
        backup.restore(there, str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="lies in the store itself"):
        backup.back_up(own, f"{own.store}/backup")
    with pytest.raises(TrackingError, match="no such database"):
        backup.back_up(replace(own, tracking_uri="sqlite:////nowhere/x.db"), target)


def test_a_registry_behind_a_server_is_left_to_its_own_tools(own, tmp_path, monkeypatch, capsys):
    registered(own, tmp_path, 1, promote=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@db/mlflow")
    target = tmp_path / "backup"
    code, out, err = within(capsys, "backup", target)
    assert (code, out) == (0, f"{target}: 0 versions, 2 artifacts, 1 runs\n")
    assert "postgresql://***@db/mlflow is not in it: back its database up by its own tools, such as pg_dump" in err
    monkeypatch.setenv("SLIPWAY_STORE", str(tmp_path / "other"))
    code, _, err = within(capsys, "restore", target)
    assert (code, err.count("\n")) == (2, 1)
    assert f"SLIPWAY_STORE: the registry is not in this backup and points to {own.store}" in err
    shutil.rmtree(own.store)
    monkeypatch.setenv("SLIPWAY_STORE", own.store)
    code, out, err = within(capsys, "restore", target, "--json")
    assert (code, json.loads(out)["artifacts"]) == (0, 2)
    assert "restore its database by its own tools" in err
    backup.back_up(own, str(target))
    with pytest.raises(ConfigError, match=r"holds a SQLite registry, got postgresql://\*\*\*@db/mlflow"):
        backup.restore(settings_.load(), str(target))


def test_backup_refuses_a_damaged_release_and_a_version_without_one(own, tmp_path):
    version = registered(own, tmp_path, 1, promote=True)
    weights = next((tmp_path / "home/store/models").rglob("weights.safetensors"))
    content = weights.read_bytes()
    weights.write_bytes(b"x" + content[1:])
    with pytest.raises(BundleError, match=r"weights\.safetensors: altered"):
        backup.back_up(own, str(tmp_path / "backup"))
    weights.write_bytes(content)
    open_store(own.store).delete(f"models/{NAME}/{version.release_digest}")
    with pytest.raises(ConflictError, match=rf"model {NAME}: version 1 points to .* which is not in"):
        backup.back_up(own, str(tmp_path / "backup"))
    assert not (tmp_path / "backup" / backup.INDEX).exists()


KILLED = f"""{killing("os.rename", "shutil.copyfile", "http.client.send")}
from slipway import settings
from slipway.housekeeping import backup
armed = True
getattr(backup, sys.argv[2])(settings.load(), sys.argv[3])
"""


@pytest.mark.slow
def test_backup_and_restore_killed_anywhere_finish_when_run_again(settings, tmp_path, target, monkeypatch):
    registered(settings, tmp_path, 1, promote=True)
    expected = answers(settings)
    there = elsewhere(settings, tmp_path)

    def until_done(verb, check):
        step = 4 if settings.store.startswith("s3://") else 3
        for kill_at in range(1, 1000, step):
            command = [sys.executable, "-c", KILLED, str(kill_at), verb, target]
            done = subprocess.run(command, env=os.environ, timeout=60, check=False, capture_output=True, text=True)
            if done.returncode == 0:
                return kill_at
            assert done.returncode == -signal.SIGKILL, done.stderr
            check()
        raise AssertionError("never done")

    def no_backup_yet():
        with pytest.raises(NotFoundError, match="no complete backup"):
            backup.restore(there, target)

    assert until_done("back_up", no_backup_yet) > 1
    monkeypatch.setenv("SLIPWAY_HOME", str(there.home))
    monkeypatch.setenv("SLIPWAY_STORE", there.store)

    def no_registry_yet():
        assert not (there.home / "mlflow.db").exists()

    assert until_done("restore", no_registry_yet) > 1
    assert answers(there) == expected
    for artifact in open_store(there.store).keys("models"):
        if artifact.endswith(files.MANIFEST):
            files.verify((tmp_path / "store 2" / artifact).parent)
