"""TensorFlow Lite: what cannot be converted is refused in a line; what is converted answers as the bundle does."""

import json
import subprocess

import numpy as np
import pytest

from slipway.errors import ParityError, ToolError
from slipway.export import environment, tflite
from slipway.store import files
from tests.helpers import datasets
from tests.helpers.command import within
from tests.helpers.package_index import need_package_index
from tests.helpers.training import trained

IDS = [f"test/{i}" for i in range(40)]
OWN_NK = np.tile(np.array([[0.7, 0.2, 0.1]], np.float32), (40, 1))
LABELS = ("blue", "green", "red")


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """pip finds no package, as without a network."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tfidf_logreg", "reads text; only image networks"),
        ("lenet5", "21 held-out items in"),
        ("checkpoint", "is a checkpoint"),
    ],
)
def test_texts_few_items_and_checkpoints_are_refused(name, said, exported, tmp_path, capsys):
    data, checkpoint, bundle = exported("lenet5" if name == "checkpoint" else name)
    capsys.readouterr()  # of training
    source = checkpoint if name == "checkpoint" else bundle
    code, _, err = within(capsys, "export", source, "--data", data.path, "-o", tmp_path / "o", "--format", "tflite")
    assert (code, said in err, err.count("\n")) == (2, True, 1), err
    assert not (tmp_path / "o").exists()


def test_another_data_set_and_an_unknown_format_are_refused(exported, tmp_path, capsys):
    data, checkpoint, bundle = exported("lenet5")
    other = datasets.images(tmp_path / "other", seed=1)
    code, _, err = within(capsys, "export", bundle, "--data", other.path, "-o", tmp_path / "o", "--format", "tflite")
    assert (code, "was trained on tiny" in err) == (2, True), err
    code, _, err = within(capsys, "export", checkpoint, "--data", data.path, "-o", tmp_path / "o", "--format", "tflit")
    assert (code, "--format: unknown 'tflit'; did you mean 'tflite'?" in err) == (2, True), err


@pytest.mark.usefixtures("offline")
def test_an_environment_that_cannot_be_set_up_is_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(ToolError, match=r"^tflite: its environment cannot be set up \(No matching distribution .*\); .*$"):
        environment.ready(tmp_path, "tflite", tflite.LOCK, say=lambda _: None)
    assert [*(tmp_path / "environments").iterdir()] == []


@pytest.mark.usefixtures("offline")
def test_an_environment_is_set_up_once_and_anew_for_another_lock(tmp_path):
    lock, lines = tmp_path / "a.lock", []
    lock.write_text("# nothing\n")
    first, second = (environment.ready(tmp_path, "tool", lock, say=lines.append) for _ in range(2))
    assert first == second
    assert sum("once" in line for line in lines) == 1
    assert subprocess.check_output([first, "-I", "-c", "import sys; print(sys.prefix)"], text=True).strip() in str(first)
    lock.write_text("# another\n")
    assert environment.ready(tmp_path, "tool", lock, say=lines.append) != first


def test_of_two_writers_the_first_stays(tmp_path):
    with files.aside(tmp_path / "a") as slow:
        (slow / "x").write_text("slow")
        with files.aside(tmp_path / "a") as quick:
            (quick / "x").write_text("quick")
    assert (tmp_path / "a/x").read_text() == "quick"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("precision", ["float", "int8"])
def test_answers_beyond_a_limit_are_refused_with_the_worst_item(precision):
    made_NK = OWN_NK.copy()
    made_NK[7:11] = made_NK[7:11, ::-1]
    with pytest.raises(
        ParityError, match=rf"tflite {precision}: .*same class for 90.0% of 40 items .*worst is test/7, bundle 'blue'"
    ):
        tflite.judge(precision, IDS, OWN_NK, made_NK, LABELS)
    with pytest.raises(ParityError, match="worst is test/3"):
        tflite.judge(precision, IDS, OWN_NK, np.where(np.arange(40)[:, None] == 3, np.nan, OWN_NK), LABELS)


def test_the_limits_of_float_are_those_of_parity():
    assert tflite.judge("float", IDS, OWN_NK, OWN_NK, LABELS)["relative_error"] == 0
    with pytest.raises(ParityError, match="relative error"):
        tflite.judge("float", IDS, OWN_NK, OWN_NK + np.array([1e-3, 0, -1e-3], np.float32), LABELS)


@pytest.mark.slow
def test_a_network_answers_alike_in_float_and_in_integers(tmp_path, capsys):
    need_package_index(tmp_path / "one")
    data, _, bundle = trained("shapes", "fast_cnn", tmp_path, size=800, epochs=4)
    out = tmp_path / "tflite"
    code, told, err = within(capsys, "export", bundle, "--data", data.path, "-o", out, "--format", "tflite", "--json")
    assert code == 0, err
    assert "sets up an environment of its own, once" in err
    found = json.loads(told)
    assert found["float"]["relative_error"] < 1e-3
    assert found["int8"]["types"] == ["int32", "int8", "uint8"], "nothing inside is a float"
    assert found["int8"]["bytes"] < 0.5 * found["float"]["bytes"]
    assert (out / "labels.txt").read_text().split() == list(data.labels)
    files.verify(out)
