"""What gc takes, what it leaves, and what happens when somebody else acts at the same moment."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from slipway.errors import ConfigError, ConflictError, NotFoundError
from slipway.housekeeping import gc
from slipway.store import files
from slipway.store.local import LocalStore
from slipway.store.uri import open_store
from slipway.tracking import client, registry
from tests.helpers.command import within
from tests.helpers.killing import killing
from tests.helpers.releases import NAME, record_run, registered, stored

EAGER = gc.Policy(keep_versions=0)


def collect(settings, policy=EAGER):
    return [item.what for item in gc.plan(settings, policy)[0] if item.remove()]


def kinds(settings, policy=EAGER):
    return sorted((item.kind, item.what) for item in gc.plan(settings, policy)[0])


def numbers(settings):
    return [v.version for v in registry.versions(NAME, settings=settings)]


def assert_whole(settings):
    """No version points at nothing; what can be seen in the store is complete."""
    store = open_store(settings.store)
    for name in registry.names(settings=settings):
        for v in registry.versions(name, settings=settings):
            assert store.manifest(v.release_uri.removeprefix(f"{store.uri}/")).digest == v.release_digest
    for key in store.keys("models") + store.keys("evaluations"):
        assert store.exists("/".join(key.split("/")[:3])), key


def test_gc_takes_old_versions_without_an_alias_and_all_that_was_theirs(settings, tmp_path, in_days):
    made = [registered(settings, tmp_path, seed, promote=seed < 3) for seed in (1, 2, 3)]
    stored(settings, tmp_path, 4)
    in_days(31)
    young = registered(settings, tmp_path, 5)  # takes the alias challenger from 3
    items, unknown = gc.plan(settings, EAGER)
    assert [(i.kind, i.what) for i in items if i.kind == "version"] == [("version", f"{NAME}:1"), ("version", f"{NAME}:3")]
    assert (unknown, [i.kind for i in items].count("release"), [i.kind for i in items].count("evaluations")) == ([], 1, 3)
    assert all(i.bytes > 0 for i in items)
    assert numbers(settings) == [1, 2, 3, 4], "a plan changes nothing"
    collect(settings)
    assert numbers(settings) == [2, 4]
    store = open_store(settings.store)
    assert {k.split("/")[2] for k in store.keys("models")} == {made[1].release_digest, young.release_digest}
    assert {k.split("/")[1] for k in store.keys("evaluations")} == {made[1].bundle_digest, young.bundle_digest}
    assert {k.split("/")[1] for k in store.keys("runs")} == {"run-2", "run-5"}
    assert sorted(p.name for p in (settings.home / "runs").iterdir()) == ["run-2", "run-5"]
    assert_whole(settings)
    assert kinds(settings) == []


def test_nothing_young_goes_and_the_newest_versions_stay(settings, tmp_path, in_days):
    for seed in (1, 2, 3):
        registered(settings, tmp_path, seed, promote=True)
    stored(settings, tmp_path, 4)
    assert kinds(settings) == []
    in_days(29)
    assert kinds(settings) == []
    in_days(31)
    kept = kinds(settings, gc.Policy(keep_versions=2))
    assert [what for kind, what in kept if kind == "version"] == [f"{NAME}:1"]
    with pytest.raises(ConfigError, match="at least 1h"):
        gc.Policy(older_than_s=60)


def test_releases_of_models_that_this_registry_does_not_know_stay_with_all_runs(settings, tmp_path, in_days, new_database):
    registered(settings, tmp_path, 1, promote=True)
    other = settings.home / "other.db"
    other.write_bytes(new_database.read_bytes())
    in_days(100)
    items, unknown = gc.plan(replace(settings, tracking_uri=f"sqlite:///{other}"), EAGER)
    assert (items, unknown) == ([], [NAME])


def test_a_run_that_goes_on_stays_with_kept_states_until_it_was_silent_for_long(settings, in_days):
    going, killed = record_run(settings, "going"), record_run(settings, "killed", "running")
    record_run(settings, "done")
    open_store(settings.store).put_bytes("checkpoints/abc/state.safetensors", b"state")
    with (going / "request.json").open() as held:
        fcntl.flock(held, fcntl.LOCK_SH)  # as the local runner holds it
        in_days(2)
        policy = gc.Policy(older_than_s=gc.DAY_S)
        assert collect(settings, policy) == ["runs/done"]
        in_days(8)
        assert collect(settings, policy) == ["runs/killed", "checkpoints/abc"]
        assert (going.is_dir(), killed.exists()) == (True, False)
    assert collect(settings, policy) == ["runs/going"]


def test_fetched_copies_go_by_their_last_use_and_downloads_when_asked(settings, in_days, tmp_path):
    for name in ("cache/old/a", "cache/.release-x/a", "outgoing/b/a", "data/cifar/a"):
        (settings.home / name).parent.mkdir(parents=True)
        (settings.home / name).write_bytes(b"12345")
    in_days(31)
    assert {what.rsplit("/", 1)[1] for _, what in kinds(settings)} == {"old", ".release-x", "b"}
    everything = gc.Policy(downloads=True)
    assert {i.bytes for i in gc.plan(settings, everything)[0]} == {5}
    assert len(collect(settings, everything)) == 4
    assert kinds(settings, everything) == []


def test_a_release_registered_while_it_is_being_deleted_is_put_back(settings, tmp_path, in_days, monkeypatch):
    registered(settings, tmp_path, 1, promote=True)
    uri, digest, of_bundle = stored(settings, tmp_path, 2)
    in_days(31)
    (item,) = [i for i in gc.plan(settings, EAGER)[0] if i.kind == "release"]
    seen, names = [], registry.names

    def registering(**arguments):  # the second look at the registry comes when the release is out of sight
        seen.append(open_store(settings.store).exists(f"models/{NAME}/{digest}"))
        if len(seen) == 2:
            monkeypatch.setattr(registry, "names", names)
            registry.register(
                NAME, release_uri=uri, release_digest=digest, bundle_digest=of_bundle, run_id="run-2", accuracy=0.9,
                expected_champion=registry.champion(NAME, settings=settings).release_digest, settings=settings,
            )  # fmt: skip
        return names(**arguments)

    monkeypatch.setattr(registry, "names", registering)
    assert item.remove() is False
    assert seen == [True, False]
    assert_whole(settings)
    assert files.verify(open_store(settings.store).get_dir(f"models/{NAME}/{digest}", tmp_path / "got")).digest == digest


def test_releases_registered_while_gc_runs_again_and_again_are_all_there(own, tmp_path, in_days):
    registered(own, tmp_path, 0, promote=True)
    for seed in range(1, 5):
        stored(own, tmp_path, seed)
    in_days(31)  # what is in the store is old at once; what is registered from now on is not
    registering = True

    def again_and_again() -> list[str]:
        taken = collect(own)
        while registering:
            taken += collect(own)
        return taken

    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(again_and_again)
        try:
            for seed in (1, 2, 3):
                made = registered(own, tmp_path, seed, promote=True)
                stored(own, tmp_path, seed)  # as the register step does once it has registered
                assert open_store(own.store).exists(f"models/{NAME}/{made.release_digest}")
                assert open_store(own.store).keys(f"evaluations/{made.bundle_digest}")
        finally:
            registering = False
        assert taken.result()
    assert_whole(own)
    assert registry.champion(NAME, settings=own).run_id == "run-3"


@pytest.mark.parametrize("moment", ["before the tag", "after the tag"])
def test_a_version_promoted_while_it_is_being_retired_stays(own, tmp_path, monkeypatch, moment):
    registered(own, tmp_path, 1, promote=True)
    registered(own, tmp_path, 2, promote=True)
    c = client.connect(own.tracking_uri)
    tag, refused = type(c).set_model_version_tag, []

    def tagging(self, *arguments):
        monkeypatch.setattr(type(c), "set_model_version_tag", tag)
        if moment == "after the tag":
            tag(self, *arguments)
        try:
            registry.promote(NAME, 1, settings=own)
        except ConflictError as exc:
            refused.append(str(exc))
        tag(self, *arguments)

    monkeypatch.setattr(type(c), "set_model_version_tag", tagging)
    gone = registry.retire(NAME, 1, settings=own)
    champion = registry.champion(NAME, settings=own)
    if moment == "before the tag":
        assert (gone, champion.version, champion.retired, refused) == (False, 1, False, [])
    else:
        assert (gone, champion.version) == (True, 2)
        assert "version 1 is being deleted by slipway gc" in refused[0]
    assert registry.retire(NAME, champion.version, settings=own) is False
    assert registry.retire(NAME, 77, settings=own) is True


def test_registering_a_retired_release_again_makes_a_new_version(own, tmp_path):
    registered(own, tmp_path, 1, promote=True)
    registered(own, tmp_path, 2, promote=True)
    client.connect(own.tracking_uri).set_model_version_tag(NAME, "1", registry.RETIRED, "true")  # a gc killed after its tag
    assert registered(own, tmp_path, 1).version == 3
    with pytest.raises(ConflictError, match="version 1 is being deleted"):
        registry.promote(NAME, 1, settings=own)
    assert registry.champion(NAME, settings=own).version == 2
    collect(own)
    assert numbers(own) == [2, 3]
    assert_whole(own)


KILLED_GC = f"""{killing("os.rename", "os.remove", "shutil.rmtree", "http.client.send", "slipway.tracking")}
import time
from slipway import settings
from slipway.housekeeping import gc
now = time.time
from slipway.tracking import client
call = client.call
def counted(*arguments):
    sys.audit("slipway.tracking")
    return call(*arguments)
client.call = counted
time.time = lambda: now() + 31 * 86400
items, _ = gc.plan(settings.load(), gc.Policy(keep_versions=0))
armed = True
for item in items:
    item.remove()
"""


@pytest.mark.slow
def test_gc_killed_anywhere_leaves_whole_things_and_finishes_when_run_again(settings, tmp_path, in_days):
    for seed in (1, 2):
        registered(settings, tmp_path, seed, promote=True)
    stored(settings, tmp_path, 3)
    kills = -1
    while True:
        kills += 2 if settings.store.startswith("/") else 5
        done = subprocess.run([sys.executable, "-c", KILLED_GC, str(kills)], env=os.environ, timeout=60, check=False)
        assert_whole(settings)
        assert registry.champion(NAME, settings=settings).release_digest
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        if kills % 3 == 0:  # in between, what one kill left is there when the next one comes
            stored(settings, tmp_path, 3)
            registered(settings, tmp_path, 1)
            registered(settings, tmp_path, 2)
    assert kills > 5, "the hook never fired"
    in_days(31)
    collect(settings)
    assert kinds(settings) == []
    if isinstance(store := open_store(settings.store), LocalStore):
        assert files.leftovers(store.root, older_than_s=0) == {}


def test_gc_says_first_and_deletes_when_told(own, tmp_path, in_days, capsys):
    registered(own, tmp_path, 1, promote=True)
    registered(own, tmp_path, 2, promote=True)
    in_days(31)
    code, out, _ = within(capsys, "gc", "--keep-versions", "0")
    assert (code, numbers(own)) == (0, [1, 2])
    assert f"{NAME}:1" in out
    assert "would go; slipway gc --delete removes it" in out
    code, out, _ = within(capsys, "gc", "--keep-versions", "0", "--delete", "--json")
    said = json.loads(out)
    assert (code, said["deleted"], said["items"][0]["what"], numbers(own)) == (0, True, f"{NAME}:1", [2])
    assert said["bytes"] == sum(i["bytes"] for i in said["items"]) > 0
    assert within(capsys, "gc")[1] == "Nothing to remove.\n"
    code, _, err = within(capsys, "gc", "--older-than", "soon")
    assert (code, err.count("\n")) == (2, 1)
    assert "such as 12h, 30d or 8w" in err
    with pytest.raises(NotFoundError):
        registry.resolve(f"{NAME}:1", settings=own)
