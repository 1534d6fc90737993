"""From the register step to a server that trusts one key: what is served is what its owner signed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slipway import bundle as bundles
from slipway import signing, steps
from slipway.errors import BundleError
from slipway.store import files
from slipway.tracking import registry
from tests.helpers.bundles import make_bundle, make_release
from tests.helpers.keys import make_key
from tests.helpers.servers import DEADLINE_S, process, ready_line
from tests.unit.tracking.conftest import new_database, own  # noqa: F401

pytestmark = pytest.mark.integration


@pytest.fixture
def passed(tmp_path):
    """A bundle, and scores and verdict that let it pass, as the register step takes them."""
    bundle = make_bundle("nlp", tmp_path / "bundle")
    with files.atomic_dir(tmp_path / "scores") as scratch:
        files.write_json(scratch / "metrics.json", {"accuracy": 0.9})
    digests = {name: files.read_manifest(tmp_path / name).digest for name in ("bundle", "scores")}
    with files.atomic_dir(tmp_path / "verdict") as scratch:
        order = ["onnxruntime-fp32"]
        verdict = digests | {"verdict": "pass", "variant": order[0], "order": order, "champion": ""}
        files.write_json(scratch / "verdict.json", verdict)
        (scratch / bundles.CARD).write_text("<p>Card</p>")
    return {"bundle": bundle, "scores": tmp_path / "scores", "verdict": tmp_path / "verdict"}


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """(private, public); the environment names both."""
    private, public = make_key(tmp_path / "signer")
    monkeypatch.setenv(signing.PRIVATE_KEY, str(private))
    monkeypatch.setenv(signing.PUBLIC_KEY, str(public))
    return private, public


def refused(release):
    """The one line of a server that does not serve."""
    command = [sys.executable, "-m", "slipway.server", f"nlp={release}", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert done.stdout == "", "it may not say ready"
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    return line


def test_what_is_registered_with_a_key_is_served_to_who_trusts_it_and_registering_again_changes_nothing(own, passed, keys):  # noqa: F811
    first, second = (
        steps.register_model(**passed, model_name="signed", promote=True, run_id=run_id) for run_id in ("run-1", "run-2")
    )
    assert first == second
    assert [v.release_uri for v in registry.versions("signed", settings=own)] == [first]
    with process(f"signed={first}", "--port", "0") as child:
        assert ready_line(child)["models"][0]["digest"] == files.read_manifest(Path(first)).digest
        child.send_signal(signal.SIGTERM)
        assert child.wait(DEADLINE_S) == 0


def test_server_and_deploy_step_refuse_what_the_key_did_not_sign(passed, keys, tmp_path):
    unsigned = make_release(passed["bundle"], tmp_path / "unsigned")
    assert "is not signed, and SLIPWAY_MODEL_PUBLIC_KEY asks for it" in refused(unsigned)
    strange = make_release(passed["bundle"], tmp_path / "strange", private_key=make_key(tmp_path / "other")[0])
    assert f"model.sig: was not made by the key of {keys[1]}" in refused(strange)
    assert "is not signed" in refused(passed["bundle"])
    with pytest.raises(BundleError, match="is not signed"):
        steps.deploy_model(
            release=str(unsigned), dataset=tmp_path, scores=passed["scores"], model_name="m", namespace="", run_id="r"
        )


def test_server_whose_key_is_not_there_does_not_start(passed, keys, tmp_path):
    keys[1].unlink()
    assert f"SLIPWAY_MODEL_PUBLIC_KEY: {keys[1]}: cannot be read (No such file or directory)" in refused(passed["bundle"])
