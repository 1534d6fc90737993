"""The database comes to the schema of the MLflow that is installed, and keeps what is in it."""

import sqlite3
from contextlib import closing

import pytest

from slipway.errors import ConfigError, TrackingError
from slipway.tracking import schema


@pytest.fixture
def oldest(tmp_path) -> str:
    """A database as MLflow's first version made it, with an experiment in it."""
    import sqlalchemy
    from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase

    uri = f"sqlite:///{tmp_path}/old.db"
    engine = sqlalchemy.create_engine(uri)
    InitialBase.metadata.create_all(engine)
    engine.dispose()
    with closing(sqlite3.connect(tmp_path / "old.db")) as database, database:
        database.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) VALUES (7, 'kept', '', 'active')"
        )
    return uri


def test_an_old_database_is_brought_up_to_date_and_keeps_its_experiments(oldest):
    from mlflow import MlflowClient

    schema.upgrade(oldest)
    schema.upgrade(oldest)
    assert MlflowClient(tracking_uri=oldest, registry_uri=oldest).get_experiment("7").name == "kept"


def test_a_new_database_is_made_whole(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/new.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert schema.main() == 0
    assert MlflowClient(tracking_uri=uri, registry_uri=uri).get_experiment("0").name == "Default"
    assert [path.name for path in tmp_path.glob("*.partial*")] == []


def test_what_is_no_database_is_said_without_the_password(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@mlflow:5000")
    assert schema.main() == 2
    said = capsys.readouterr().err
    assert said.startswith("error: MLFLOW_TRACKING_URI: 'http://***@mlflow:5000' is no database")
    with pytest.raises((ConfigError, TrackingError)) as caught:
        schema.upgrade("postgresql+psycopg://user:secret@127.0.0.1:1/mlflow")
    assert "secret" not in str(caught.value)
    (tmp_path / "no.db").write_bytes(b"not a database, but with something in it" * 100)
    with pytest.raises(TrackingError, match=r"no\.db"):
        schema.upgrade(f"sqlite:///{tmp_path}/no.db")
