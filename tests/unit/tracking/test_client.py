"""Trouble with the server or the database is one line, soon."""

import signal
import subprocess
import sys
import time

import pytest

from slipway import settings
from slipway.errors import ConfigError, TrackingError
from slipway.tracking import registry
from slipway.tracking.runs import open_run


@pytest.fixture
def at(monkeypatch):
    """Settings with a tracking URI."""

    def load(uri):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        return settings.load()

    return load


@pytest.mark.parametrize("uri", ["file:///tmp/mlruns", "/tmp/mlruns", "databricks", "sqlite:///:memory:"])
def test_tracking_uri_without_a_registry_is_refused(at, uri):
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI: "):
        registry.names(settings=at(uri))


def test_dead_server_is_reported_within_seconds(at):
    started = time.monotonic()
    for act in (
        lambda s: registry.names(settings=s),
        lambda s: open_run("r", name="n", settings=s).__enter__(),
    ):
        with pytest.raises(TrackingError) as caught:
            act(at("http://user:secret@127.0.0.1:1"))
        assert str(caught.value) == (
            "http://***@127.0.0.1:1: MLflow does not answer (Connection refused); check MLFLOW_TRACKING_URI and that it runs"
        )
    assert time.monotonic() - started < 15


def test_file_that_is_no_database_is_named_at_once(at, tmp_path):
    (tmp_path / "notes.db").write_text("not a database, but text" * 100)
    for uri, says in {
        f"sqlite:///{tmp_path}/notes.db": "notes.db: not usable as MLflow's database (file is not a database)",
        f"sqlite:///{tmp_path}/notes.db/x.db": "not usable as MLflow's database",
        f"sqlite:///{tmp_path}": "unable to open database file",
    }.items():
        with pytest.raises(TrackingError) as caught:
            registry.names(settings=at(uri))
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)


def test_database_in_a_folder_that_is_not_there_yet_is_made(at, tmp_path):
    assert registry.names(settings=at(f"sqlite:///{tmp_path}/new folder/ü/m.db")) == []


KILLED_CONNECT = """
import os, signal, sys
from slipway.tracking import client
kill_at, seen = int(sys.argv[2]), 0
def hook(event, args):
    global seen
    if event == "os.rename" or (event == "open" and "db_migrations/versions" in str(args[0])):
        seen += 1
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
client.connect(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [1, 15, 40])
def test_new_database_killed_while_it_is_made_is_made_by_the_next_process(at, tmp_path, kill_at):
    uri = f"sqlite:///{tmp_path}/m.db"
    done = subprocess.run([sys.executable, "-c", KILLED_CONNECT, uri, str(kill_at)], timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "m.db").exists()
    assert registry.names(settings=at(uri)) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == [".m.db.lock", "m.db"]
