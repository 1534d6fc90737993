import pytest

from tests.helpers.bundles import make_releases


@pytest.fixture(scope="session")
def releases(tmp_path_factory):
    """A release per family."""
    return make_releases(tmp_path_factory.mktemp("served"))
