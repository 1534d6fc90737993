import pytest

from tests.helpers.bundles import FAMILIES, make_bundle, make_release


@pytest.fixture(scope="session")
def releases(tmp_path_factory):
    """A release per family."""
    root = tmp_path_factory.mktemp("served")
    return {family: make_release(make_bundle(family, root / f"{family}-bundle"), root / family) for family in FAMILIES}
