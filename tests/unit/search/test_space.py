"""What `--space` may say, and that a mistake in it is found before anything is trained."""

import pytest

from slipway.errors import ConfigError
from slipway.search.space import Axis, parse, typed


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("learning_rate=1e-4..1e-2,log", Axis("learning_rate", float, 1e-4, 1e-2, log=True)),
        ("weight_decay=0..0.1", Axis("weight_decay", float, 0.0, 0.1)),
        ("epochs=2..8", Axis("epochs", int, 2, 8)),
        ("batch_size=16..256,log", Axis("batch_size", int, 16, 256, log=True)),
        ("batch_size=16, 32,64", Axis("batch_size", int, choices=(16, 32, 64))),
        ("optimizer=adamw,sgd", Axis("optimizer", str, choices=("adamw", "sgd"))),
        ("augment=true,false", Axis("augment", bool, choices=(True, False))),
        ("dropout=none,0.2", Axis("dropout", float, choices=(None, 0.2))),
        ("architecture=lenet5,custom_cnn", Axis("architecture", str, choices=("lenet5", "custom_cnn"))),
    ],
)
def test_a_text_is_an_axis(text, axis):
    assert parse([text], "cv") == {axis.name: axis}


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ([], "--space: nothing to vary; write key=low..high"),
        (["learning_rate"], "--space learning_rate: write key=low..high"),
        (["learning_rat=1..2"], "did you mean 'learning_rate'?"),
        (["max_features=10..20"], "max_features is for families of texts; cv has no use for it"),
        (["epochs=2..8", "epochs=1,2"], "--space epochs: given twice"),
        (["width=0.1..1"], "--space width: is held by --set, too"),
        (["epochs=8..2"], "the range must go up, got 8 to 2"),
        (["epochs=1.5..2"], "epochs: must be a whole number, got '1.5'"),
        (["weight_decay=0..0.1,log"], "a logarithmic range must start above 0, got 0.0"),
        (["learning_rate=1e-4..1e-2,lin"], "only ',log' may follow a range, got ',lin'"),
        (["learning_rate=0..0.1"], "learning_rate must be above 0, got 0.0"),
        (["momentum=0.5..1.5"], "momentum must be at least 0 and at most 0.9999, got 1.5"),
        (["batch_size=1..64"], "batch_size must be at least 2, got 1"),
        (["batch_size=16"], "needs two or more different values; a fixed one goes to --set"),
        (["batch_size=16,16"], "needs two or more different values"),
        (["optimizer=adam,sgd"], "did you mean 'adamw'?"),
        (["architecture=lenet5,distilled"], "unknown 'distilled'"),
    ],
)
def test_a_mistake_is_one_line(texts, says):
    with pytest.raises(ConfigError) as caught:
        parse(texts, "cv", held=["width"])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_proposals_get_the_types_of_their_options():
    assert typed({"epochs": 3.0, "learning_rate": 1, "dropout": None}) == {"epochs": 3, "learning_rate": 1.0, "dropout": None}
    assert type(typed({"epochs": 3.0})["epochs"]) is int
