"""Tiny data of each kind, prepared once; tests only read them."""

import pytest

from slipway import settings
from tests.helpers import datasets


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    return datasets.images(tmp_path_factory.mktemp("images") / "data")


@pytest.fixture(scope="session")
def texts(tmp_path_factory):
    return datasets.texts(tmp_path_factory.mktemp("texts") / "data")


@pytest.fixture
def here():
    """The settings of this test's home."""
    return settings.load()
