"""Which parameters learn together and how fast; Muon's step; the average of the weights."""

import copy

import pytest
import torch
from torch import nn

from slipway.training import muon
from slipway.training.ema import Average
from slipway.training.optim import Optimizer, parameter_groups
from slipway.training.recipe import TrainConfig
from slipway.training.schedule import plateau_drops, rate_at, stop_early


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.Sequential(nn.Conv2d(8, 16, 3), nn.BatchNorm2d(16)), nn.Linear(16, 4)]
    return nn.ModuleList(layers), [[layer] for layer in layers]


def test_lower_groups_learn_slower_and_only_matrices_decay():
    _, groups = network()
    found = parameter_groups(groups, TrainConfig(family="cv", layer_decay=0.5, weight_decay=0.1))
    rates = {id(p): (g["rate_factor"], g["weight_decay"]) for g in found for p in g["params"]}
    expected = [(0.25, 0.1), (0.25, 0.0), (0.5, 0.1), (0.5, 0.0), (0.5, 0.0), (0.5, 0.0), (1.0, 0.1), (1.0, 0.0)]
    assert [rates[id(p)] for group in groups for module in group for p in module.parameters()] == expected


def test_muon_takes_the_hidden_filters_and_leaves_first_and_last_layer_to_adamw():
    model, groups = network()
    found = parameter_groups(groups, TrainConfig(family="cv", optimizer="muon", learning_rate=0.2, other_rate=0.05))
    kinds = {id(p): (g["kind"], g["rate_factor"]) for g in found for p in g["params"]}
    hidden = groups[1][0][0].weight
    assert kinds[id(hidden)] == ("muon", 1.0)
    others = {kinds[id(p)] for p in model.parameters() if p is not hidden}
    assert others == {("adamw", 0.25)}


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (24, 48)])
def test_an_orthogonalised_matrix_has_singular_values_near_one(shape):
    torch.manual_seed(0)
    made = muon.orthogonalise(torch.randn(2, *shape), torch.float32)
    for matrix in made:
        values = torch.linalg.svdvals(matrix)
        assert 0.6 < values.min() <= values.max() < 1.3


def test_a_resumed_optimizer_goes_on_bit_for_bit():
    config = TrainConfig(family="cv", optimizer="muon")

    def stepped(model, optim, steps):
        for i in steps:
            torch.manual_seed(i)
            for p in model.parameters():
                p.grad = torch.randn_like(p)
            optim.step(0.01)

    model, groups = network()
    optim = Optimizer(parameter_groups(groups, config), config)
    stepped(model, optim, range(2))
    other, other_groups = network()
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    resumed = Optimizer(parameter_groups(other_groups, config), config)
    resumed.load_state_dict(copy.deepcopy(optim.state_dict()))
    stepped(model, optim, range(2, 5))
    stepped(other, resumed, range(2, 5))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_the_average_follows_the_weights_and_gives_them_back():
    model = nn.Linear(2, 2)
    average = Average(model, 0.9)
    with torch.no_grad():
        for _ in range(200):
            model.weight += 1
            average.update(model)
    own = model.weight.clone()
    with average.swapped(model):
        lag = (own - model.weight).mean().item()
    assert lag == pytest.approx(9, abs=0.1), "decay / (1 - decay) steps behind a steady walk"
    assert torch.equal(model.weight, own)


@pytest.mark.parametrize("name", ["cosine", "one_cycle", "linear"])
def test_schedules_rise_to_the_peak_and_fall_to_nothing(name):
    config = TrainConfig(family="cv", schedule=name, learning_rate=1.0, warmup=0.25)
    rates, momenta = zip(*(rate_at(config, step, 101) for step in range(101)), strict=True)
    peak = rates.index(max(rates))
    assert rates[0] == pytest.approx(1 / 25)
    assert (rates[peak], 24 <= peak <= 26) == (pytest.approx(1.0), True)
    assert rates[-1] < 0.05
    assert list(rates[peak:]) == sorted(rates[peak:], reverse=True)
    assert (len(set(momenta)) > 1) == (name == "one_cycle")


def test_a_plateau_drops_the_rate_and_then_stops():
    scores = [0.1, 0.5, 0.6, 0.6, 0.6, 0.6]
    assert plateau_drops(scores[:4], patience=2) == 1
    config = TrainConfig(family="cv", schedule="plateau", patience=2, learning_rate=1.0, warmup=0.0)
    assert rate_at(config, 5, 10, drops=1)[0] == pytest.approx(0.1)
    assert [stop_early(scores[:n], 3) for n in (4, 5, 6)] == [False, False, True]
    assert not stop_early(scores, 0)
