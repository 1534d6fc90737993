"""A study: whatever is killed when, it ends with the trials of a study that nobody killed."""

import json
import random
import signal
import subprocess
import sys
import threading

import pytest

from slipway import settings
from slipway.errors import ConflictError
from slipway.search import candidates
from slipway.search import space as spaces
from slipway.search import tune as tune_
from slipway.store import files
from tests.helpers import datasets

SPACE = ["learning_rate=1e-4..3e-2,log", "batch_size=8,16"]
HELD = {"architecture": "lenet5", "epochs": "3", "augment": "false", "threads": "1", "device": "cpu"}
TRIALS = 4
DEADLINE_S = 300


def common(here, family="cv", **changes):
    held = HELD | changes if family == "cv" else {"threads": "1", **changes}
    return candidates.base(family, candidates.asked(family, preset="", values=held, verb="tune"), here)


def tuned(dataset, folder, here, *, trials=TRIALS, space=SPACE, metric="accuracy", changes=None, **options):
    folder.mkdir(exist_ok=True)
    config = common(here, dataset.family, **changes or {})
    axes = spaces.parse(space, dataset.family)
    return tune_.tune(dataset, config, axes, folder, trials=trials, metric=metric, settings=here, **options)


def said(made):
    """A study's trials without their seconds."""
    return [{name: value for name, value in trial.items() if name != "seconds"} for trial in made.trials]


@pytest.fixture(scope="module")
def quiet(images, tmp_path_factory):
    """A study that nobody interrupted, and its folder."""
    base = tmp_path_factory.mktemp("quiet")
    return tuned(images, base / "study", settings.load({"SLIPWAY_HOME": str(base)})), base / "study"


def test_a_study_ends_with_its_trials_and_the_checkpoint_of_the_best(quiet):
    made, folder = quiet
    assert [trial["number"] for trial in made.trials] == list(range(TRIALS))
    complete = [trial for trial in made.trials if trial["state"] == "complete"]
    assert made.best["value"] == max(trial["value"] for trial in complete)
    assert [p.name for p in (folder / "trials").iterdir() if list(p.iterdir())] == [f"{made.best['number']:04d}"]
    files.verify(made.checkpoint)
    model = json.loads((made.checkpoint / "model.json").read_text())
    assert made.best["params"].items() <= model["config"].items()
    assert model["best"]["val_accuracy"] == made.best["value"]
    assert model["best"]["epoch"] == made.best["best_epoch"]
    assert all(trial["seconds"] > 0 for trial in made.trials)


def test_the_same_call_again_trains_nothing(images, quiet, here, capfd):
    made, folder = quiet
    assert tuned(images, folder, here).trials == made.trials
    assert "epoch" not in capfd.readouterr().err


def test_a_call_for_more_trials_goes_on_even_from_one_that_was_killed_between_two_proposals(images, quiet, tmp_path, here):
    import optuna

    tuned(images, tmp_path / "study", here, trials=2)
    study = optuna.load_study(study_name="tune", storage=f"sqlite:///{tmp_path / 'study' / tune_.DATABASE}")
    first = dict(list(spaces.parse(SPACE, "cv").items())[:1])
    tune_._proposed(study, study.ask(), first, seed=0)
    assert said(tuned(images, tmp_path / "study", here)) == said(quiet[0])


def command(dataset, folder):
    held = [part for name, value in HELD.items() for part in ("--set", f"{name}={value}")]
    space = [part for text in SPACE for part in ("--space", text)]
    arguments = ["tune", str(dataset.path), "--preset", "", *space, *held, "--trials", str(TRIALS), "-o", str(folder), "--json"]
    return [sys.executable, "-c", "from slipway.cli import main; main()", *arguments]


def test_killed_in_the_middle_of_a_trial_it_goes_on_there_and_ends_as_if_it_had_not_been(images, quiet, tmp_path, here, capfd):
    folder = tmp_path / "study"
    with subprocess.Popen(command(images, folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        deadline = threading.Timer(DEADLINE_S, process.kill)
        deadline.start()
        second = False
        for line in process.stderr:
            second = second or line.startswith("tune: trial 1: ")
            if second and line.startswith("epoch 2/3"):
                process.send_signal(signal.SIGKILL)
        deadline.cancel()
    assert process.returncode == -signal.SIGKILL
    capfd.readouterr()
    made = tuned(images, folder, here)
    err = capfd.readouterr().err
    assert "tune: going on with trial 1\n" in err
    assert "continuing after epoch" in err
    assert said(made) == said(quiet[0])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_again_and_again_it_ends_as_if_it_had_not_been(images, quiet, tmp_path, here, seed):
    folder, rng = tmp_path / "study", random.Random(seed)
    lines = 0
    while True:
        stop = lines + rng.randint(4, 12)
        with subprocess.Popen(command(images, folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            deadline = threading.Timer(DEADLINE_S, process.kill)
            deadline.start()
            for _ in process.stderr:
                lines += 1
                if lines == stop:
                    process.kill()
            deadline.cancel()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
    assert said(tuned(images, folder, here)) == said(quiet[0])


def test_a_hopeless_trial_is_cut_short(images, tmp_path, here):
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=1)
    space = ["learning_rate=0.01,1e-7"]
    held = {"batch_size": "16"}
    made = tuned(images, tmp_path / "study", here, trials=5, space=space, metric="log_loss", pruner=pruner, changes=held)
    cut = [trial for trial in made.trials if trial["state"] == "pruned"]
    assert cut
    assert {trial["params"]["learning_rate"] for trial in cut} == {1e-7}
    assert all(trial["epochs"] < 3 for trial in cut)
    assert made.best["params"] == {"learning_rate": 0.01}
    assert not (tmp_path / "study" / "trials" / f"{cut[0]['number']:04d}").exists()


def test_a_model_without_epochs_is_tuned_and_not_cut_short_after_its_end(texts, tmp_path, here):
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=1)
    made = tuned(texts, tmp_path / "study", here, space=["max_features=1,100"], pruner=pruner)
    assert {trial["params"]["max_features"] for trial in made.trials} == {1, 100}
    assert {trial["state"] for trial in made.trials} == {"complete"}


def test_settings_that_cannot_be_are_failed_trials_and_the_study_goes_on(images, tmp_path, here):
    made = tuned(images, tmp_path / "study", here, space=["batch_size=8,500"], changes={"epochs": "1"})
    failed = [trial for trial in made.trials if trial["state"] == "failed"]
    assert {trial["params"]["batch_size"] for trial in failed} == {500}
    assert failed[0]["error"].startswith("batch_size: 500 is more than the")
    assert made.best["params"] == {"batch_size": 8}
    assert not made.ours


def test_when_time_is_up_no_further_trial_starts(images, tmp_path, here, capfd):
    made = tuned(images, tmp_path / "study", here, timeout_s=0)
    assert (made.trials, made.best, made.checkpoint) == ([], None, None)
    assert "tune: time is up after 0 of 4 trials; the same call goes on" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"changes": {"epochs": "4"}}, "another config.epochs"),
        ({"space": ["learning_rate=1e-4..1e-2,log", SPACE[1]]}, "another space.learning_rate"),
        ({"space": SPACE[:1]}, "another space.batch_size"),
        ({"metric": "log_loss"}, "another metric"),
    ],
)
def test_another_study_in_the_same_folder_is_refused(images, quiet, here, other, says):
    with pytest.raises(ConflictError, match=f"holds a study with {says}; choose another -o"):
        tuned(images, quiet[1], here, **other)


def test_other_data_in_the_same_folder_are_refused(quiet, tmp_path, here):
    with pytest.raises(ConflictError, match="another data"):
        tuned(datasets.images(tmp_path / "data", seed=1), quiet[1], here)
