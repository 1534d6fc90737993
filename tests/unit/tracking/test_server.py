"""The same promises behind a real MLflow server."""

import pytest

from slipway import settings
from slipway.errors import ConflictError, NotFoundError
from slipway.tracking import client, registry
from slipway.tracking.runs import finish, open_run
from tests.helpers.mlflow_server import mlflow_server  # noqa: F401

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("empty_cwd")]


@pytest.fixture
def behind_server(mlflow_server, monkeypatch):  # noqa: F811
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    return settings.load()


def test_run_and_its_files_reach_the_server(behind_server, tmp_path):
    (tmp_path / "report.html").write_text("<p>")
    with open_run("server-run", name="cv-digits", settings=behind_server) as run:
        run.log_params({"epochs": 3})
        run.log_history([{"epoch": e, "loss": 1.0 / (e + 1)} for e in range(1200)])
        run.log_files(tmp_path / "report.html", "evaluation")
    with open_run("server-run", name="cv-digits", settings=behind_server) as again:
        assert again.id == run.id
    finish("server-run", settings=behind_server)
    c = client.connect(behind_server.tracking_uri)
    stored = c.get_run(run.id)
    assert (stored.info.status, stored.data.params) == ("FINISHED", {"epochs": "3"})
    assert len(c.get_metric_history(run.id, "loss")) == 1200
    assert [f.path for f in c.list_artifacts(run.id, "evaluation")] == ["evaluation/report.html"]
    assert not (behind_server.home / "mlartifacts").exists()


@pytest.mark.parametrize(("name", "root"), [("of-directory", "/srv/my store"), ("of-s3", "s3://bucket/prefix")])
def test_release_is_registered_promoted_and_guarded(behind_server, name, root):
    def release(digest, champion):
        return registry.register(
            name,
            release_uri=f"{root}/models/{name}/{digest}",
            release_digest=digest,
            bundle_digest="b",
            run_id="r-" + digest,
            accuracy=0.9,
            expected_champion=champion,
            settings=behind_server,
        )

    assert release("d1", None).version == release("d1", None).version == 1
    assert registry.promote(name, settings=behind_server).release_uri == f"{root}/models/{name}/d1"
    with pytest.raises(ConflictError, match="evaluate and gate again"):
        release("d2", None)
    assert release("d2", "d1").aliases == ("challenger",)
    assert registry.resolve(name, settings=behind_server).version == 1
    assert name in registry.names(settings=behind_server)
    with pytest.raises(NotFoundError, match="did you mean"):
        registry.resolve(name + "x", settings=behind_server)
