"""The command line: light, strict, one line per mistake."""

import json
import subprocess
import sys

import pytest

from slipway.cli import main
from slipway.cli.exits import exit_code
from slipway.errors import DataError, GateRefusedError, ParityError, SlipwayError, StoreError
from tests.helpers.command import within

HEAVY = {"torch", "mlflow", "kfp", "kserve", "pandas", "numpy", "sklearn", "fastapi", "optuna"}


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], *([verb, "--help"] for verb in ("run", "train", "serve", "tune", "evaluate", "predict"))],
)
def test_help_loads_nothing_heavy(arguments):
    code = (
        "import sys\nfrom slipway.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "cvv"], "family: unknown 'cvv'; did you mean 'cv'?"),
        (["run", "cv", "--set", "epoch=3"], "unknown 'epoch'; did you mean 'epochs'?"),
        (["run", "cv", "--set", "epochs=many"], "epochs: must be a whole number, got 'many'"),
        (["run", "cv", "--set", "epochs"], "--set epochs: must be KEY=VALUE"),
        (["run", "cv", "--preset", "quik"], "did you mean 'quick'?"),
        (["run", "cv", "--on", "kubeflow"], "--on: unknown 'kubeflow'"),
        (["run", "cv", "--on", "kfp"], "SLIPWAY_KFP_HOST: not set"),
        (["run", "cv", "--dataset", "digits", "--data", "x"], "--dataset and --data: give one of them"),
        (["run", "cv", "nlp", "--name", "x"], "belong to one family"),
        (["run", "cv", "--dataset", "cifar"], "did you mean 'cifar10'?"),
        (["run", "cv", "--data", "/nowhere/parts"], "/nowhere/parts"),
        (["serve", "nope/at/all"], "nope/at/all"),
        (["show", "no-such-run"], "no-such-run"),
        (["promote", "m:two"], "the version must be a number"),
        (["generate", "shape", "x"], "did you mean 'shapes'?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, arguments, words):
    code, out, err = within(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert [line[:6] for line in err.splitlines() if not line.startswith('{"time"')] == ["error:"], err


def test_debug_shows_the_traceback():
    with pytest.raises(SlipwayError):
        main(["run", "cvv", "--debug"])


def test_an_unknown_flag_is_refused(capsys):
    code, _, err = within(capsys, "run", "cv", "--epochs", "3")
    assert code == 2
    assert "--epochs" in err


@pytest.mark.parametrize(
    ("error", "code"), [(DataError("x"), 2), (GateRefusedError("x"), 3), (StoreError("x"), 1), (ParityError("x"), 1)]
)
def test_the_exit_code_follows_from_the_error_class(error, code):
    assert exit_code(error) == code


def test_runs_of_an_empty_store_say_how_to_start(capsys):
    code, out, _ = within(capsys, "runs")
    assert code == 0
    assert "slipway run cv" in out


def test_show_json_is_the_whole_record(capsys):
    from slipway import settings
    from slipway.runs.record import step_record
    from slipway.store.uri import open_store

    with step_record(open_store(settings.load().store), "r1", "gate", inputs={}, parameters={}) as record:
        record.results["verdict"] = "pass"
    code, out, _ = within(capsys, "show", "r1", "--json")
    assert code == 0
    assert json.loads(out)["gate"]["results"] == {"verdict": "pass"}
