"""Checkpoints and bundles made once and looked at by many tests."""

import pytest

from slipway.data.dataset import Dataset
from slipway.export.onnx import export
from slipway.models.architectures import ARCHITECTURES
from slipway.training.train import train
from tests.helpers import datasets
from tests.helpers.training import config


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Name of an architecture -> (data set, checkpoint, bundle), trained in a moment and exported."""
    made = {}

    def make(name):
        if name not in made:
            base = tmp_path_factory.mktemp(name)
            dataset: Dataset = datasets.of_family(ARCHITECTURES[name].family, base / "data")
            checkpoint = train(dataset, config(name, base), base / "checkpoint")
            made[name] = dataset, checkpoint, export(checkpoint, dataset, base / "bundle")
        return made[name]

    return make
