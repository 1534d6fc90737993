"""The real data sets under SLIPWAY_DATA, prepared."""

import pytest

from slipway.data.datasets import DATASETS, open_dataset
from slipway.data.prepare import PrepareConfig, prepare

pytestmark = pytest.mark.data

COUNTS = {"cifar10": (50_000, 10_000), "imdb": (25_000, 12_500), "sst2": (67_349, 872)}
"""Official training and test items; this IMDB has half of the official test reviews at least."""


@pytest.mark.parametrize("name", COUNTS)
def test_official_set_prepares_with_its_own_test_split(name, real_data, tmp_path):
    family = DATASETS[name].families[0]
    dataset = prepare(open_dataset(name, family=family, root=real_data), tmp_path / "out", PrepareConfig(family=family))
    counts = {split: sum(per_label.values()) for split, per_label in dataset.counts.items()}
    train, test = COUNTS[name]
    assert counts["train"] + counts["validation"] == train
    assert counts["test"] == test or (name == "imdb" and counts["test"] == 25_000)
    assert abs(counts["validation"] / train - 1 / 9) < 0.01
    assert dataset.meta["skipped"] == []
    assert dataset.meta["class_balance"].keys() == set(dataset.labels)
    if dataset.kind == "image":
        sample = dataset.preprocess.encode(dataset.raw("test")[:500])["image"]
        assert (sample == dataset.arrays("test")[0][:500]).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_steel_photographs_with_equal_pixels_share_a_split(seed, real_data, tmp_path):
    raw = open_dataset("neu_cls", family="defect", root=real_data)
    dataset = prepare(raw, tmp_path / "out", PrepareConfig(family="defect", seed=seed))
    places = {source: split for split in ("train", "validation", "test") for source in dataset.sources(split)}
    assert places["patches/patches_101.jpg"] == places["patches/patches_105.jpg"]
    assert dataset.meta["duplicates"] >= 1
    assert set(dataset.counts["test"]) == set(dataset.labels)
    assert dataset.arrays("train")[0].shape[1:] == (64, 64, 1)
