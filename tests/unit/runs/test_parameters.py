"""Parameters come from the compiled pipeline; presets and --set are checked against it."""

import pytest

from slipway import config
from slipway.errors import ConfigError
from slipway.runs.parameters import families, parameters, presets, resolve
from slipway.training.recipe import TrainConfig

ALL = [(family, preset) for family in families() for preset in presets(family)]


def test_every_family_has_its_presets():
    assert families() == ["cv", "defect", "nlp"]
    assert all({"full", "quick"} <= set(presets(family)) for family in families())


@pytest.mark.parametrize(("family", "preset"), ALL)
def test_a_preset_resolves_to_every_parameter_in_its_type(family, preset):
    resolved = resolve(family, preset=preset, values={})
    assert {name: type(value) for name, value in resolved.items()} == {k: p.type for k, p in parameters(family).items()}


@pytest.mark.parametrize(("family", "preset"), ALL)
def test_a_preset_holds_only_what_differs(family, preset):
    from slipway.runs.parameters import OWN, SETS, _preset

    content = _preset(family, preset)
    sections = [content.pop(OWN, {}), *content.pop(SETS, {}).values()]
    defaults = dict(config.defaults(TrainConfig)) | resolve(family, preset="", values={})
    assert {k for k, v in content.items() if v == defaults[k]} == set()
    for section in sections:
        assert {k for k, v in section.items() if v == (defaults | content)[k]} == set()


@pytest.mark.parametrize(("family", "preset"), ALL)
def test_a_preset_speaks_of_known_data_sets_only(family, preset):
    from slipway.data.datasets import entry_for
    from slipway.runs.parameters import SETS, _preset

    for name in _preset(family, preset).get(SETS, {}):
        entry_for(name, family)


def test_a_data_set_and_own_data_get_their_section():
    shapes = resolve("cv", preset="quick", values={"dataset": "shapes"})
    own = resolve("cv", preset="quick", values={"data": "parts"})
    digits = resolve("cv", preset="quick", values={})
    assert (shapes["epochs"], own["epochs"], digits["epochs"]) == (30, 20, 5)
    assert own["augment"]
    assert not digits["augment"]


@pytest.mark.parametrize("family", families())
def test_every_parameter_has_a_description(family):
    for name, parameter in parameters(family).items():
        assert parameter.description.endswith("."), name


def test_what_the_caller_sets_wins():
    resolved = resolve("cv", preset="quick", values={"epochs": "7", "learning_rate": "1e-3", "promote": "false", "data": "a=b"})
    assert (resolved["epochs"], resolved["learning_rate"], resolved["promote"], resolved["data"]) == (7, 0.001, False, "a=b")


def test_what_has_no_parameter_of_its_own_goes_where_it_belongs():
    values = {"ema": "0.99", "max_size_mb": "20", "recall_floors": "cat=0.5", "min_accuracy": "0.6"}
    resolved = resolve("cv", preset="quick", values=values)
    assert (resolved["options"], resolved["min_accuracy"]) == ({"ema": 0.99}, 0.6)
    assert resolved["rules"] == {"max_size_mb": 20.0, "recall_floors": "cat=0.5"}
    with pytest.raises(ConfigError, match=r"gate\.max_size_mb: must be above 0"):
        resolve("cv", preset="quick", values={"max_size_mb": "-1"})


def test_a_recipe_goes_over_the_preset_and_below_what_the_caller_sets(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 9\nwidth: 0.5\nema: 0.99\nlearning_rate: 1e-3\n")
    resolved = resolve("cv", preset="quick", values={"width": "0.75"}, recipe=path)
    assert (resolved["epochs"], resolved["width"], resolved["learning_rate"]) == (9, 0.75, 0.001)
    assert resolved["options"] == {"ema": 0.99}
    assert not resolved["augment"]  # the preset's, for digits
    path.write_text("min_accuracy: 0.5\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: unknown 'min_accuracy'"):
        resolve("cv", preset="quick", values={}, recipe=path)


@pytest.mark.parametrize(
    ("family", "preset", "values", "says"),
    [
        ("cvv", "quick", {}, "family: unknown 'cvv'; did you mean 'cv'"),
        ("cv", "quik", {}, "preset of cv: unknown 'quik'; did you mean 'quick'"),
        ("cv", "quick", {"epoch": "1"}, "unknown 'epoch'; did you mean 'epochs'"),
        ("cv", "quick", {"epochs": "2.5"}, "epochs: must be a whole number, got '2.5'"),
        ("cv", "quick", {"learning_rate": "nan"}, "learning_rate: must be a number, got 'nan'"),
        ("cv", "quick", {"augment": "maybe"}, "augment: must be true or false, got 'maybe'"),
    ],
)
def test_a_mistake_is_one_line_with_the_near_match(family, preset, values, says):
    with pytest.raises(ConfigError, match=says) as caught:
        resolve(family, preset=preset, values=values)
    assert "\n" not in str(caught.value)
