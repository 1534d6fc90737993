"""Mixup and cutmix: targets follow the pixels."""

import numpy as np
import pytest
import torch

from slipway.training.mixing import mix
from slipway.training.recipe import TrainConfig


def two_colours(batch=200, side=12):
    """Black images of class 0 and white ones of class 1: the share of white is the share of class 1."""
    labels = torch.arange(batch) % 2
    return (labels[:, None, None, None] * 255).expand(batch, side, side, 3).to(torch.uint8).contiguous(), torch.eye(2)[labels]


@pytest.mark.parametrize("settings", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 0.4}])
def test_targets_are_the_shares_of_the_pixels(settings):
    images, targets = two_colours()
    mixed, shares = mix(images, targets, np.random.default_rng(0), TrainConfig(family="cv", **settings))
    assert (mixed.shape, mixed.dtype) == (images.shape, torch.uint8)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(len(shares)))
    white = mixed.float().mean(dim=(1, 2, 3)) / 255
    torch.testing.assert_close(white, shares[:, 1], atol=0.003, rtol=0)
    assert ((shares[:, 0] > 0.05) & (shares[:, 0] < 0.95)).float().mean() > 0.2, "many are really mixed"


def test_the_same_generator_gives_the_same_bits_and_leaves_its_input():
    images, targets = two_colours()
    kept = images.clone()
    config = TrainConfig(family="cv", cutmix=1.0)
    first, again = (mix(images, targets, np.random.default_rng(5), config) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert torch.equal(images, kept)


def test_both_kinds_occur_when_both_are_on():
    images, targets = two_colours()
    config = TrainConfig(family="cv", mixup=1.0, cutmix=1.0)
    cut = [set(mix(images, targets, np.random.default_rng(s), config)[0].unique().tolist()) <= {0, 255} for s in range(12)]
    assert set(cut) == {True, False}


def test_one_image_is_its_own_partner():
    images, targets = two_colours(1)
    mixed, shares = mix(images, targets, np.random.default_rng(0), TrainConfig(family="cv", mixup=1.0))
    assert torch.equal(mixed, images)
    assert torch.equal(shares, targets)
