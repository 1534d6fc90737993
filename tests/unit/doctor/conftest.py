import json

import pytest

from slipway.cli import main
from slipway.server.app import create_app
from slipway.server.models import served_model
from slipway.store import files
from tests.helpers.bundles import make_bundle, make_release
from tests.helpers.kube_api import KubeApi
from tests.helpers.kube_objects import MODEL, endpoint
from tests.helpers.servers import running


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A real server with a real release: its URL, and the digest of what it serves."""
    root = tmp_path_factory.mktemp("served")
    release = make_release(make_bundle("cv", root / "bundle"), root / "release")
    with running(create_app([served_model(MODEL, str(release))], threads=1)) as client:
        yield str(client.base_url), files.read_manifest(release).digest


@pytest.fixture
def api(tmp_path, monkeypatch):
    """An API server without objects, the one of the current kubeconfig."""
    with KubeApi() as api:
        path = str(api.kubeconfig(tmp_path / "kubeconfig"))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", path)
        yield api


@pytest.fixture
def cluster(api, served):
    """The same, with a healthy endpoint."""
    url, digest = served
    api.put(*endpoint(url, digest=digest))
    return api


@pytest.fixture
def doctor(capsys):
    """`slipway doctor ARGS --json`: its exit code, and link -> (state, said, fix)."""

    def run(*arguments):
        code = 0
        try:
            main(["doctor", *arguments, "--json"])
        except SystemExit as exc:
            code = exc.code or 0
        out = capsys.readouterr()
        assert "Traceback" not in out.out + out.err
        said = json.loads(out.out)
        assert said["healthy"] == (code == 0)
        return code, {row["link"]: (row["state"], row["said"], row["fix"]) for row in said["links"]}

    return run
