import pytest

from slipway.errors import ConfigError
from slipway.training.recipe import TrainConfig


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "cvv"}, "did you mean 'cv'"),
        ({"architecture": "defect_small"}, r"family cv: unknown 'defect_small'.*of family defect"),
        ({"epochs": 0}, "epochs: must be at least 1, got 0"),
        ({"batch_size": 1}, "batch_size: must be at least 2"),
        ({"learning_rate": 0.0}, "learning_rate: must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate: must be above 0"),
        ({"label_smoothing": 1.0}, "label_smoothing: must be 0 to 0.99"),
        ({"weight_decay": -1.0}, "weight_decay: must be at least 0"),
        ({"precision": "bf61"}, "did you mean 'bf16'"),
        ({"precision": "fp16", "device": "cpu"}, "needs a CUDA device"),
        ({"device": "gpu"}, "device: unknown 'gpu'"),
        ({"optimizer": "adam"}, "did you mean 'adamw'"),
        ({"width": 5.0}, "width: must be above 0 and at most 4"),
        ({"ngrams": 3}, "ngrams: must be 1 to 2"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(change, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**{"family": "cv", **change})


def test_fp16_is_refused_when_auto_turns_out_to_be_the_cpu():
    with pytest.raises(ConfigError, match="needs a CUDA device"):
        TrainConfig(family="cv", precision="fp16").resolve(device="cpu", precision="fp16")


def test_an_empty_architecture_is_the_familys_own():
    assert TrainConfig(family="defect").resolve(device="cpu", precision="fp32").architecture == "defect_small"


def test_the_rate_rises_to_its_peak_and_falls_to_nothing():
    from slipway.training.schedule import rate_at

    config = TrainConfig(family="cv", learning_rate=1.0, warmup=0.25)
    rates = [rate_at(config, step, 100)[0] for step in range(100)]
    assert rates[0] == pytest.approx(1 / 25)
    assert max(rates) == rates[25] == 1.0
    assert rates[-1] < 0.001
    assert rates == sorted(rates[:26]) + sorted(rates[26:], reverse=True)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_steps_are_those_of_torchs_own_optimizers(name):
    import torch

    from slipway.training.optim import Optimizer, parameter_groups

    def steps(make):
        torch.manual_seed(0)
        model = torch.nn.Linear(5, 3)
        step = make(model)
        for i in range(4):
            model.zero_grad()
            model(torch.ones(2, 5) * i).square().sum().backward()
            step(0.1 / (i + 1))
        return [p.detach() for p in model.parameters()]

    def theirs(model):
        groups = [{"params": [model.weight], "weight_decay": 0.1}, {"params": [model.bias], "weight_decay": 0.0}]
        makers = {"adamw": torch.optim.AdamW, "sgd": lambda g: torch.optim.SGD(g, momentum=0.9, nesterov=True)}
        optimizer = makers[name](groups)

        def step(rate):
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()

        return step

    config = TrainConfig(family="cv", optimizer=name, weight_decay=0.1)
    for mine, other in zip(
        steps(lambda model: Optimizer(parameter_groups([[model]], config), config).step), steps(theirs), strict=True
    ):
        torch.testing.assert_close(mine, other)
