"""`slipway compare` and `slipway tune`, as a user calls them, on data of the user's own."""

import json
import shlex

import pytest

from slipway.cli.pairs import pairs
from slipway.runs import parameters
from slipway.search.folder import claimed
from slipway.training import options
from slipway.training.recipe import TrainConfig
from tests.helpers import datasets
from tests.helpers.command import slipway, within


@pytest.fixture
def reviews(tmp_path):
    """A table of texts with columns of unusual names."""
    rows = [f"{'fine' if i % 2 else 'dull'} film number {i};{'good' if i % 2 else 'bad'}" for i in range(120)]
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(["said;verdict", *rows, ""]).replace(";", ","))
    return path


def test_compare_puts_recipes_side_by_side_and_its_exit_code_tells_of_one_that_failed(reviews, tmp_path):
    (tmp_path / "words.yaml").write_text("ngrams: 1\n")
    (tmp_path / "taught.yaml").write_text("teacher: /nowhere/bundle\n")
    arguments = ["compare", "reviews.csv", "--family", "nlp", "--text-column", "said", "--label-column", "verdict"]
    arguments += ["--recipe", "words.yaml", "--recipe", "taught.yaml"]
    done = slipway(*arguments, "--json", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stdout.splitlines()
    made = json.loads(line)
    assert made["folder"] == "compare-reviews"
    assert [row["candidate"] for row in made["rows"]] == ["words", "taught"]
    assert made["rows"][0]["accuracy"] > 0.9
    assert "/nowhere/bundle" in made["rows"][1]["error"]
    assert {p.name for p in (tmp_path / "compare-reviews").glob("compare.*")} == {"compare.csv", "compare.json", "compare.png"}

    done = slipway(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    title, _, header, _, first, second, *_ = done.stdout.splitlines()
    assert title.startswith("nlp on reviews: accuracy on the validation split")
    assert header.split()[:3] == ["candidate", "accuracy", "(95"]
    assert first.split()[:2] == ["words", f"{made['rows'][0]['accuracy']:.4f}"]
    assert second.split()[:2] == ["taught", "failed"]
    assert f"taught failed: {made['rows'][1]['error']}" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1] == "compare-reviews: compare.csv, compare.json, compare.png"


def test_tune_ends_with_a_table_a_command_and_a_recipe_that_mean_the_best_trial(tmp_path):
    data = datasets.texts(tmp_path / "data")
    held = ["--set", "threads=1"]
    done = slipway(
        "tune", "data", "--space", "regularisation=0.1..10,log", "--space", "ngrams=1,2", *held,
        "--trials", "3", "--metric", "log_loss", "-o", "out", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    made = json.loads(line)
    values = [trial["value"] for trial in made["trials"]]
    assert made["best"]["value"] == min(values)
    assert {p.name for p in (tmp_path / "out").glob("tune.*")} == {"tune.csv", "tune.json", "tune.png"}
    assert made["command"] is None  # a pipeline starts from raw data, and these are prepared
    best = json.loads((tmp_path / "out" / "trials" / f"{made['best']['number']:04d}" / "checkpoint" / "model.json").read_text())

    resolved = parameters.resolve("nlp", preset="quick", values={}, recipe=tmp_path / "out" / "best.yaml")
    again = options.config("nlp", parameters.training("nlp", resolved), where="best.yaml")
    assert {name: best["config"][name] for name in made["best"]["params"]} == made["best"]["params"]
    assert {name: getattr(again, name) for name in best["config"] if name not in ("architecture", "device")} == {
        name: value for name, value in best["config"].items() if name not in ("architecture", "device")
    }

    done = slipway("compare", "data", "--recipe", "out/best.yaml", "-o", "side", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "best " in done.stdout
    assert data.name in done.stdout


def test_the_command_that_tune_prints_is_one_that_run_takes():
    from slipway.search.results import Asked, command

    params = {"learning_rate": 0.011826755772798618, "dropout": None, "augment": True, "optimizer": "sgd", "epochs": 3}
    asked = Asked(
        source={"data": "my parts", "label_column": "y"}, preset="quick", held={"size": "300"}, training={}, metric="accuracy"
    )
    program, verb, family, *flags = shlex.split(command("cv", asked, params))
    assert (program, verb, family) == ("slipway", "run", "cv")
    assert flags[:6] == ["--data", "my parts", "--label-column", "y", "--preset", "quick"]
    assert set(flags[6::2]) == {"--set"}
    resolved = parameters.resolve("cv", preset="quick", values=pairs(flags[7::2]))
    trained = TrainConfig(family="cv", **parameters.training("cv", resolved))
    assert {name: getattr(trained, name) for name in params} == params
    assert resolved["size"] == 300


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "digit", "--architectures", "lenet5"], "data set: unknown 'digit'; did you mean 'digits'?"),
        (["compare", "digits"], "nothing to compare; give --architectures (of cv: lenet5"),
        (["compare", "digits", "--architectures", "lenet"], "architecture: unknown 'lenet'; did you mean 'lenet5'?"),
        (["compare", "digits", "--architectures", "lenet5,tfidf_logreg"], "unknown 'tfidf_logreg'"),
        (["compare", "digits", "--architectures", "defect_small"], "'digits' is for family cv, not defect"),
        (["compare", ".", "--recipe", "a.yaml"], "--family: . does not tell what is to be learnt from it"),
        (["compare", "digits", "--architectures", "lenet5", "--set", "promote=true"], "promote has no effect here"),
        (["compare", "digits", "--recipe", "none.yaml"], "--recipe none.yaml: cannot be read"),
        (["tune", "digits"], "--space: nothing to vary"),
        (["tune", "digits", "--space", "learning_rat=1e-4..1"], "did you mean 'learning_rate'?"),
        (["tune", "digits", "--space", "epochs=1..3", "--metric", "f1"], "--metric: unknown 'f1'"),
        (["tune", "digits", "--space", "epochs=1..3", "--set", "epochs=2"], "--space epochs: is held by --set, too"),
        (["run", "cv", "--recipe", "none.yaml"], "--recipe none.yaml: cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2_before_anything_is_made(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = within(capsys, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert [line[:6] for line in err.splitlines()] == ["error:"], err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_another_process_works_is_refused_with_one_line(tmp_path):
    with claimed(tmp_path / "out"):
        done = slipway("tune", "digits", "--space", "epochs=1..3", "-o", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: out: another process works in it; wait for it, or choose another -o\n"
