"""KFP's local runner, wrapped: tidy progress, the step's own error, nothing left running."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kfp import dsl

from slipway import settings as settings_
from slipway.errors import DataError, GateRefusedError, StepFailedError
from slipway.runs import local
from slipway.runs.kfp_log import LogReader
from tests.helpers import pipelines
from tests.helpers.progress import Told

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return pipelines.compiled(pipelines.words_pipeline, tmp_path_factory.mktemp("compiled"))


def run(pipeline, told=None, **parameters):
    run_id = local.new_run_id("words")
    return local.run("words", parameters, run_id=run_id, settings=settings_.load(), progress=told or Told(), pipeline=pipeline)


def test_every_step_gives_one_line_and_its_own_words(words, home, capfd):
    told = Told()
    run_id = run(words, told, words=4)
    assert told.steps == [(step, what) for step in ("make", "judge", "keep") for what in ("started", "ok")]
    assert told.lines == ["making 4 words"]
    assert capfd.readouterr() == ("", "")
    folder = home / "runs" / run_id
    assert "Executing task" in (folder / "log.txt").read_text()
    assert {p.name for p in folder.iterdir()} == {"log.txt", "request.json", "artifacts"}
    assert (home / "store" / "runs" / run_id / "make.json").is_file(), "steps share the run's id"


def test_directories_and_metadata_pass_between_steps(words, home):
    run_id = run(words, words=4)
    assert list((home / "runs" / run_id).glob("artifacts/*/make/out/MANIFEST.json"))
    assert "4 words kept" in (home / "runs" / run_id / "log.txt").read_text().replace("4.0", "4")


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        ("GateRefusedError", GateRefusedError, "^too few words"),
        ("DataError", DataError, "^too few words"),
        ("TrackingError", StepFailedError, "^fail: too few words, says TrackingError; the log is "),
        ("KeyError", StepFailedError, "^fail: KeyError: 'too few words.*log.txt$"),
    ],
)
def test_a_failing_step_raises_its_own_error(words, error, raised, says):
    told = Told()
    with pytest.raises(raised, match=says) as caught:
        run(words, told, needed=9, error=error)
    assert type(caught.value) is raised
    assert told.steps[-1] == ("fail", "failed")
    assert told.steps.count(("fail", "started")) == 1, "what failed here fails again: no second attempt"
    assert not [line for line in told.lines if "Traceback" in line]
    assert caught.value.run_id


@dsl.component(base_image=pipelines.IMAGE, install_kfp_package=False)
def dies() -> None:
    import os

    os.kill(os.getpid(), 9)


@dsl.pipeline(name="deadly")
def deadly():
    dies()


def test_a_step_without_a_record_is_named_with_the_log(tmp_path):
    with pytest.raises(StepFailedError, match=r"^dies failed: exit code 1; the log is .*log\.txt$"):
        run(pipelines.compiled(deadly, tmp_path))


@dsl.component(base_image=pipelines.IMAGE, install_kfp_package=False)
def says(text: str) -> str:
    return text


@dsl.pipeline(name="quoted")
def quoted(text: str = "it's"):
    said = says(text=text)
    with dsl.If(said.output == "pass"):
        says(text="yes")
    with dsl.Else():
        says(text="no")


def test_a_condition_that_kfp_cannot_resolve_is_no_success(tmp_path):
    """KFP pastes the value into Python: a quote makes both branches disappear, and the run succeed."""
    with pytest.raises(StepFailedError, match="neither branch ran"):
        run(pipelines.compiled(quoted, tmp_path))


@dsl.component(base_image=pipelines.IMAGE, install_kfp_package=False)
def sleeps(pid_file: str) -> None:
    import os
    import time
    from pathlib import Path

    scratch = Path(pid_file + ".new")
    scratch.write_text(str(os.getpid()))
    scratch.rename(pid_file)
    time.sleep(600)


@dsl.pipeline(name="sleepy")
def sleepy(pid_file: str):
    sleeps(pid_file=pid_file)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_steps_end_with_the_run_however_it_ends(tmp_path, sign):
    pipeline, pid_file = pipelines.compiled(sleepy, tmp_path), tmp_path / "pid"
    code = (
        "import signal; from pathlib import Path; from slipway import settings; from slipway.runs import local\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job starts with it ignored
        f"local.run('x', {{'pid_file': {str(pid_file)!r}}}, run_id='x-1', settings=settings.load(),"
        f" pipeline=Path({str(pipeline)!r}))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        wait_for(pid_file.is_file)
        step = int(pid_file.read_text())
        parent.send_signal(sign)
        assert parent.wait(20) != 0
        wait_for(lambda: not alive(step))
    finally:
        parent.kill()
        parent.wait()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, deadline_s=30):
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "deadline passed"
        os.sched_yield()


def test_the_log_reader_hides_what_kfp_and_tracebacks_say():
    told = Told()
    reader = LogReader(told)
    log = """\
10:00:00.000 - INFO - Executing task \x1b[96m'train-cv'\x1b[0m
10:00:00.000 - INFO - Streamed logs:

    [KFP Executor 2026-01-01 10:00:00,000 INFO]: Got executor_input:
    {
        "inputs": {
        }
    }
    epoch 1/2
    Traceback (most recent call last):
      File "x.py", line 1, in <module>
    slipway.errors.DataError: labels.csv: empty
10:00:01.000 - ERROR - Task \x1b[96m'train-cv'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m
"""
    for line in io.StringIO(log):
        reader.feed(line)
    assert told.lines == ["epoch 1/2"]
    assert told.steps == [("train_cv", "started"), ("train_cv", "failed")]
    assert (reader.failed, reader.last_error) == ("train-cv", "DataError: labels.csv: empty")
