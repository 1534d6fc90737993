from pathlib import Path

import pytest

from slipway.store import files
from tests.helpers.artifacts import CONTENT, write_files
from tests.helpers.minio_server import minio_server, s3_bucket  # noqa: F401


@pytest.fixture
def make_artifact(tmp_path):
    """make_artifact(name, content): a complete artifact below tmp_path."""

    def make(name: str = "artifact", content: dict[str, bytes] = CONTENT) -> Path:
        with files.atomic_dir(tmp_path / "made" / name) as scratch:
            write_files(scratch, content)
        return tmp_path / "made" / name

    return make


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.integration)])
def store_uri(request, tmp_path) -> str:
    """The URI of an empty store, once per kind of store."""
    if request.param == "local":
        return str(tmp_path / "store")
    return f"s3://{request.getfixturevalue('s3_bucket')}/some/prefix"


@pytest.fixture
def store(store_uri):
    from slipway.store.uri import open_store

    return open_store(store_uri)
