"""Augmentation: what it may change, how often, and that it is the same again."""

import numpy as np
import pytest
import torch

from slipway.training.augment import GRAY, Augment
from slipway.training.recipe import TrainConfig

NOTHING = {"crop": 0.0, "flip": "none", "quarter_turns": False}
KINDS = {
    "crop": {"crop": 0.125},
    "flip": {"flip": "both"},
    "quarter_turns": {"quarter_turns": True},
    "rotate": {"rotate": 15.0},
    "zoom": {"zoom": 0.2},
    "jitter": {"jitter": 0.4},
    "erase": {"erase": 0.25},
}


def images(batch=64, height=16, width=16, channels=3, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (batch, height, width, channels), dtype=np.uint8)
    return torch.from_numpy(pixels)


def augmented(before, seed=0, family="cv", epoch=1, **settings):
    config = TrainConfig(family=family, **{**NOTHING, **settings})
    augment = Augment(config, tuple(before.shape[1:]))
    return augment(before, np.random.default_rng(seed), positions_B=np.arange(len(before)), epoch=epoch)


@pytest.mark.parametrize("shape", [(16, 16, 3), (16, 16, 1), (15, 22, 3)])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_keeps_shape_and_type_leaves_its_input_and_is_the_same_again(kind, shape):
    before = images(8, *shape)
    kept = before.clone()
    first, again, other = (augmented(before, seed, **KINDS[kind]) for seed in (0, 0, 1))
    assert (first.shape, first.dtype) == (before.shape, torch.uint8)
    assert torch.equal(before, kept)
    assert torch.equal(first, again)
    if kind != "quarter_turns" or shape[0] == shape[1]:
        assert not torch.equal(first, other)


def test_with_everything_off_nothing_changes():
    assert torch.equal(augmented(images()), images())


def test_alternating_mirrors_show_each_image_both_ways_in_two_epochs():
    before = images(400)
    first, second, third = (augmented(before, seed=epoch, epoch=epoch, flip="alternate") for epoch in (1, 2, 3))
    mirrored = (first == before.flip(2)).flatten(1).all(dim=1)
    assert 160 <= mirrored.sum() <= 240
    assert torch.equal(second, torch.where(mirrored[:, None, None, None], before, before.flip(2)))
    assert torch.equal(third, first)


def test_every_shift_up_to_the_share_occurs_and_none_beyond():
    ramp = torch.arange(16, dtype=torch.uint8).expand(500, 16, 16)[..., None].contiguous()
    middle = augmented(ramp, crop=0.125)[:, 8, 8, 0].int() - 8
    assert set(middle.tolist()) == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("shape", [(16, 16, 3), (16, 16, 1), (15, 22, 3)])
def test_shifted_and_mirrored_images_are_those_that_slicing_by_hand_gives(shape):
    before = images(40, *shape)
    down, right = (round(0.125 * side) for side in shape[:2])
    padded = np.pad(before.numpy(), ((0, 0), (down, down), (right, right), (0, 0)), mode="reflect")
    by_hand = [
        {
            window[::y, ::x].tobytes()
            for i in range(2 * down + 1)
            for j in range(2 * right + 1)
            for window in [image[i : i + shape[0], j : j + shape[1]]]
            for y in (1, -1)
            for x in (1, -1)
        }
        for image in padded
    ]
    after = augmented(before, crop=0.125, flip="both")
    assert all(image.numpy().tobytes() in allowed for image, allowed in zip(after, by_hand, strict=True))


def test_half_of_the_images_are_mirrored():
    before = images(1000)
    mirrored = (augmented(before, flip="horizontal") == before.flip(2)).flatten(1).all(dim=1)
    assert 0.44 < mirrored.float().mean() < 0.56


def test_surfaces_are_seen_in_all_eight_positions():
    before = images(1, seed=3).expand(400, 16, 16, 3)
    after = augmented(before, family="defect", flip="both", quarter_turns=True)
    assert len({picture.numpy().tobytes() for picture in after}) == 8


def test_one_square_of_the_asked_size_is_erased():
    before = images(200).clamp(0, 100)
    gray = (augmented(before, erase=0.25) == GRAY).all(dim=3)
    assert (gray.sum(dim=(1, 2)) == 16).all()
    assert (gray.any(dim=1).sum(dim=1) == 4).all(), "four columns"


def test_turning_moves_the_rim_and_not_the_middle():
    dot = torch.zeros(50, 33, 33, 1, dtype=torch.uint8)
    dot[:, 16, 16], dot[:, 2, 16] = 255, 255
    after = augmented(dot, rotate=15.0)
    assert (after[:, 16, 16, 0] > 200).all()
    columns = after[:, :8, :, 0].float().sum(dim=1).argmax(dim=1)
    assert 10 <= columns.min() < 16 < columns.max() <= 22, "up to 14 px * sin 15° = 3.6 px either way"


def test_the_familys_own_settings_hold_where_none_are_given():
    shown = augmented(images(400, channels=1), family="defect", crop=None, flip="auto", quarter_turns=None)
    sums = [picture.long().sum() for picture in (shown, images(400, channels=1))]
    assert sums[0] == sums[1], "turned and mirrored only: no pixel is lost"
