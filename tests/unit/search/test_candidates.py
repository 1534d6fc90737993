"""Candidates: the preset below, a recipe over it, what the caller sets over both."""

import pytest

from slipway.errors import ConfigError
from slipway.search import candidates


def made(here, *, names=(), recipes=(), **values):
    resolved = candidates.asked("cv", preset="quick", values=values, verb="compare")
    common = candidates.base("cv", resolved, here)
    return candidates.candidates(common, explicit=values, names=names, recipes=recipes)


def recipe(folder, text, name="mine.yaml"):
    path = folder / name
    path.write_text(text)
    return path


def test_an_architecture_is_a_candidate_with_the_presets_options(here):
    found = made(here, names=["lenet5", "fast_cnn"], dataset="digits", epochs="3")
    assert list(found) == ["lenet5", "fast_cnn"]
    assert [config.architecture for config in found.values()] == ["lenet5", "fast_cnn"]
    assert {(config.epochs, config.width, config.augment) for config in found.values()} == {(3, 0.25, False)}
    assert found["lenet5"].threads == here.threads


def test_a_recipe_goes_over_the_preset_and_below_what_the_caller_sets(here, tmp_path):
    path = recipe(tmp_path, "epochs: 9\nwidth: 0.5\nlearning_rate: 1e-3\ndropout: none\n")
    config = made(here, recipes=[path], epochs="2")["mine"]
    assert (config.epochs, config.width, config.learning_rate, config.dropout) == (2, 0.5, 0.001, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epoch: 3", "mine.yaml: unknown 'epoch'; did you mean 'epochs'?"),
        ("ngrams: 1", "ngrams is for families of texts"),
        ("epochs: many", "mine.yaml: epochs: must be a whole number, got 'many'"),
        ("epochs: 0", "mine: epochs: must be at least 1, got 0"),
        ("min_accuracy: 0.5", "unknown 'min_accuracy'"),
        ("- epochs", "must hold `name: value` lines, got list"),
        ("epochs: [", "mine.yaml: not YAML"),
    ],
)
def test_a_mistake_in_a_recipe_names_file_and_option(here, tmp_path, text, says):
    with pytest.raises(ConfigError) as caught:
        made(here, recipes=[recipe(tmp_path, text)])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_in_the_call_is_one_line(here, tmp_path):
    path = recipe(tmp_path, "epochs: 3")
    (tmp_path / "b").mkdir()
    cases = [
        ({}, "nothing to compare; give --architectures (of cv: lenet5, custom_cnn"),
        ({"names": ["lenet"]}, "did you mean 'lenet5'?"),
        ({"names": ["lenet5", "lenet5"]}, "two candidates are called 'lenet5'"),
        ({"recipes": [path, recipe(tmp_path / "b", "epochs: 4")]}, "two candidates are called 'mine'"),
        ({"recipes": [recipe(tmp_path, "epochs: 3", "a b.yaml")]}, "candidate 'a b': must be letters, digits"),
        ({"recipes": [tmp_path / "none.yaml"]}, "none.yaml: cannot be read (No such file or directory)"),
        ({"names": ["lenet5"], "architecture": "fast_cnn"}, "--architectures and --set architecture: give one of them"),
        ({"names": ["lenet5"], "min_accuracy": "0.5"}, "min_accuracy has no effect here: nothing is gated or registered"),
        ({"names": ["lenet5"], "precision": "fp16", "device": "cpu"}, "'fp16' needs a CUDA device"),
    ]
    for case, says in cases:
        with pytest.raises(ConfigError) as caught:
            made(here, **case)
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_family_follows_from_the_first_architecture():
    assert candidates.family_of(["defect_small"]) == "defect"
    assert candidates.family_of([]) == ""
