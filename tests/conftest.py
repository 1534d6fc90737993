"""What every test has: a home of its own, so that nothing of the machine's leaks in or out, and no silent skips."""

import logging
from pathlib import Path

import pytest

from slipway import settings
from slipway.server.logs import JsonFormatter

ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")


def pytest_addoption(parser):
    parser.addoption(
        "--fail-on-unlisted-skips", action="store_true", help=f"fail on a skip whose reason {ALLOWED_SKIPS.name} lacks"
    )


def pytest_collection_modifyitems(items):
    """Files with tests of minutes first: the workers' last ones are then short, and none waits long for the other."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_sessionfinish(session):
    """With --fail-on-unlisted-skips, a skip must be one that we decided on."""
    is_worker = hasattr(session.config, "workerinput")  # of xdist: its reports go to the process that started it
    if is_worker or not session.config.getoption("--fail-on-unlisted-skips"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    allowed = [line for line in ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(line in reason for line in allowed):
            reporter.write_line(f"skip not listed in {ALLOWED_SKIPS.name}: {report.nodeid}: {reason}", red=True)
            session.exitstatus = 1


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """SLIPWAY_HOME below tmp_path; no variable of the caller's shell is seen."""
    for name in (
        "SLIPWAY_STORE",
        "SLIPWAY_RUN_ID",
        "SLIPWAY_KFP_HOST",
        "SLIPWAY_MODEL_PRIVATE_KEY",
        "SLIPWAY_MODEL_PUBLIC_KEY",
        "MLFLOW_TRACKING_URI",
        "MLFLOW_RUN_ID",
        "AWS_ENDPOINT_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def logging_stays():
    """A command that sets up the process's log, tried in this process, does not do so for the tests after it."""
    root = logging.getLogger()
    level = root.level
    yield
    for handler in list(root.handlers):
        if isinstance(handler.formatter, JsonFormatter):  # it writes to a stream that was the test's
            root.removeHandler(handler)
            root.setLevel(level)


@pytest.fixture
def real_data():
    """Where the real data sets are: SLIPWAY_DATA; without it the test is skipped."""
    if (root := settings.load().data) is None:
        pytest.skip("SLIPWAY_DATA is not set")
    return root
