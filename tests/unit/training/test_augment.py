import numpy as np
import pytest
import torch

from slipway.models.families import FAMILIES
from slipway.training.augment import AUGMENTS, SHIFT, shift_and_mirror, turn_and_mirror


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.kind == "image"])
@pytest.mark.parametrize("shape", [(5, 32, 32, 3), (4, 24, 40, 1)])
def test_augmentation_keeps_shape_and_type_and_follows_its_generator(family, shape):
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    first, second = (AUGMENTS[family](images, np.random.default_rng(1)) for _ in range(2))
    assert (first.shape, first.dtype) == (images.shape, torch.uint8)
    assert torch.equal(first, second)
    assert not torch.equal(first, AUGMENTS[family](images, np.random.default_rng(2)))


def test_shifts_stay_within_their_bound_and_mirrors_are_half_of_all():
    columns = torch.arange(32, dtype=torch.uint8).expand(400, 32, 32)[..., None].contiguous()
    out = shift_and_mirror(columns, np.random.default_rng(0))[:, 16, :, 0].long()
    middle = out[:, 14:18].float().mean(dim=1)
    assert ((middle - 15.5).abs() <= 32 // SHIFT + 0.5).all()
    mirrored = (out[:, 20] < out[:, 12]).float().mean()
    assert 0.4 < mirrored < 0.6


def test_turning_reaches_all_eight_positions_of_a_square_and_no_other():
    image = torch.arange(16, dtype=torch.uint8).view(1, 4, 4, 1)
    positions = {tuple(t.flatten().tolist()) for k in range(4) for r in [torch.rot90(image[0], k)] for t in (r, r.flip(0))}
    out = turn_and_mirror(image.expand(300, 4, 4, 1).contiguous(), np.random.default_rng(0))
    assert {tuple(x.flatten().tolist()) for x in out} == positions
