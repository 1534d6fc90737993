import shutil

import pytest

from slipway import settings
from slipway.tracking import client


@pytest.fixture(scope="session")
def new_database(tmp_path_factory):
    """A database with MLflow's tables, to copy: making them takes MLflow a second or more."""
    path = tmp_path_factory.mktemp("mlflow") / "new.db"
    client.connect(f"sqlite:///{path}")
    return path


@pytest.fixture
def own(home, new_database):
    """Settings of a home of its own, with a new SQLite database in it."""
    home.mkdir()
    shutil.copy(new_database, home / "mlflow.db")
    return settings.load()


@pytest.fixture
def empty_cwd(tmp_path, monkeypatch):
    """An empty working directory that must stay so."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder
    assert list(folder.iterdir()) == []
