import pytest
from starlette.testclient import TestClient

from slipway import bundle as bundles
from slipway.server.app import create_app
from slipway.server.models import served_model
from tests.helpers.bundles import make_releases
from tests.helpers.graphs import sums
from tests.helpers.protocols import serving
from tests.helpers.servers import wait_until


@pytest.fixture(scope="session")
def releases(tmp_path_factory):
    """A release per family."""
    return make_releases(tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="session")
def loaded(releases):
    """The same, opened: what the server's answers are compared with."""
    return {family: bundles.load(path) for family, path in releases.items()}


@pytest.fixture(scope="module")
def client(releases):
    """All three families behind one app."""
    models = [
        served_model(f"{family}-tiny", str(path), version="7" if family == "nlp" else "") for family, path in releases.items()
    ]
    with TestClient(create_app(models)) as client:
        wait_until(lambda: client.get("/v2/health/ready").status_code == 200, "the models")
        yield client


@pytest.fixture(scope="session")
def served(releases, tmp_path_factory):
    """All families and a graph of a user's own, over real connections of both transports."""
    models = [served_model(f"{family}-tiny", str(path)) for family, path in releases.items()]
    models.append(served_model("sums", str(sums(tmp_path_factory.mktemp("graphs") / "sums.onnx")), version="7"))
    with serving(create_app(models, threads=1, grpc=("127.0.0.1", 0))) as served:
        yield served
