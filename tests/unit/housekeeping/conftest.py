import time

import pytest

from tests.helpers.minio_server import minio_server, s3_bucket  # noqa: F401
from tests.unit.store.conftest import store_uri  # noqa: F401
from tests.unit.tracking.conftest import new_database, own  # noqa: F401


@pytest.fixture
def settings(store_uri, monkeypatch, request):  # noqa: F811
    """A home with an empty registry, and an empty store of each kind."""
    monkeypatch.setenv("SLIPWAY_STORE", store_uri)
    return request.getfixturevalue("own")


@pytest.fixture
def in_days(monkeypatch):
    """in_days(60): the clock of this process says that so many days have gone."""
    now = time.time

    def later(days: float) -> None:
        monkeypatch.setattr(time, "time", lambda: now() + days * 86400)

    return later
