"""Folders of small real images."""

import pytest

from tests.unit.data.pictures import encoded


@pytest.fixture
def parts(tmp_path):
    """A folder `My Parts` of two class folders with 30 images each."""
    folder = tmp_path / "My Parts"
    for offset, label in ((0, "good"), (1000, "scratched")):
        (folder / label).mkdir(parents=True)
        for i in range(30):
            (folder / label / f"{i}.png").write_bytes(encoded(offset + i))
    return folder
