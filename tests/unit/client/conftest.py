import pytest
from onnx import TensorProto, helper, save

from slipway import bundle as bundles
from slipway.client import Client
from slipway.server.app import create_app
from slipway.server.dataplane import Limits
from slipway.server.models import served_model
from tests.helpers.bundles import make_releases
from tests.helpers.servers import running

TOKEN = "t0ken"


@pytest.fixture(scope="session")
def releases(tmp_path_factory):
    """A release per family."""
    return make_releases(tmp_path_factory.mktemp("releases"))


@pytest.fixture(scope="session")
def loaded(releases):
    """The same, opened: what answers are compared with."""
    return {family: bundles.load(path) for family, path in releases.items()}


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """A user's own ONNX file: doubles numbers, and gives strings back."""
    nodes = [helper.make_node("Add", ["x", "x"], ["twice"]), helper.make_node("Identity", ["words"], ["same"])]
    inputs = [("x", TensorProto.FLOAT, ["N", 2]), ("words", TensorProto.STRING, ["N"])]
    outputs = [("twice", TensorProto.FLOAT, ["N", 2]), ("same", TensorProto.STRING, ["N"])]
    graph = helper.make_graph(
        nodes, "own", *([helper.make_tensor_value_info(*p) for p in ports] for ports in (inputs, outputs))
    )
    path = tmp_path_factory.mktemp("own") / "own.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def address(releases, own):
    """URL and gRPC address of a server with all families and `own`, that wants TOKEN and takes 1 MB."""
    models = [served_model(name, str(path)) for name, path in {**releases, "own": own}.items()]
    app = create_app(models, token=TOKEN, grpc=("127.0.0.1", 0), limits=Limits(max_body_bytes=2**20))
    with running(app) as http:
        yield str(http.base_url).rstrip("/"), f"127.0.0.1:{app.state.grpc_port}"


@pytest.fixture(scope="module", params=["auto", "json", "binary", "grpc"])
def client(address, request):
    """A client for each way."""
    url, grpc = address
    with Client(url, token=TOKEN, grpc=grpc, transport=request.param) as made:
        yield made
