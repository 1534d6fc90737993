"""What trains when."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from slipway.errors import ConfigError
from slipway.training import phases
from slipway.training.recipe import TrainConfig


def config(**changes):
    return TrainConfig(**{"family": "cv", "pretrained": "imagenet", "epochs": 6, **changes})


@pytest.mark.parametrize(
    ("fine_tune", "expected"),
    [
        ("all", [(1, 6, 4)]),
        ("head", [(1, 6, 1)]),
        ("top:2", [(1, 6, 2)]),
        ("two_phase", [(1, 2, 1), (3, 6, 4)]),
        ("progressive", [(1, 1, 1), (2, 3, 2), (4, 4, 3), (5, 6, 4)]),
    ],
)
def test_plans(fine_tune, expected):
    plan = phases.plan(config(fine_tune=fine_tune, head_epochs=2), 4)
    assert [(phase.first, phase.last, phase.groups) for phase in plan] == expected


@given(st.integers(1, 30), st.integers(1, 12))
def test_progressive_phases_cover_every_epoch_once_and_end_with_everything(epochs, groups):
    plan = phases.plan(config(fine_tune="progressive", epochs=epochs), groups)
    assert [e for phase in plan for e in range(phase.first, phase.last + 1)] == list(range(1, epochs + 1))
    assert plan[-1].groups == groups
    assert all(a.groups < b.groups for a, b in pairwise(plan))
    assert all(phases.phase_of(plan, e).first <= e for e in range(1, epochs + 1))


def test_more_groups_than_there_are_is_refused():
    with pytest.raises(ConfigError, match="custom_cnn has 4 layer groups, got 'top:9'"):
        phases.plan(config(fine_tune="top:9"), 4)


def test_frozen_groups_neither_train_nor_move_their_statistics():
    below, above = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)), nn.Linear(2, 2)
    model = nn.ModuleList([below, above])
    groups = [[below], [above]]
    phases.freeze(model, groups, 1)
    phases.train_mode(model, groups, 1)
    assert [p.requires_grad for p in model.parameters()] == [False] * 4 + [True] * 2
    assert (below[1].training, above.training) == (False, True)
    phases.freeze(model, groups, 2)
    phases.train_mode(model, groups, 2)
    assert all(p.requires_grad for p in model.parameters())
    assert below[1].training


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fine_tune": "top:x"}, "top needs a number of layer groups, such as top:2, got 'top:x'"),
        ({"fine_tune": "heads"}, "did you mean 'head'"),
        ({"fine_tune": "two_phase", "head_epochs": 6}, "head_epochs: must be below epochs 6"),
        ({"fine_tune": "head", "pretrained": ""}, "leaves random weights frozen"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        config(**changes)
