"""Models that come and go: the repository extension by both transports, over releases of a local store."""

import threading

import grpc
import pytest

from slipway.errors import StoreError
from slipway.protocol.messages import message
from slipway.runs import record
from slipway.server import refusal, repository
from slipway.server.app import create_app
from slipway.server.models import served_model
from slipway.store import files
from slipway.store.uri import open_store
from tests.helpers.bundles import make_bundle, make_items, make_release
from tests.helpers.graphs import sums
from tests.helpers.protocols import FORMS, serving, tensor
from tests.helpers.servers import DEADLINE_S, wait_until

TEXT = tensor("text", "BYTES", [1], ["good film"])


@pytest.fixture(scope="module")
def releases_of_a_name(tmp_path_factory):
    """Two releases, of different weights."""
    root = tmp_path_factory.mktemp("named")
    return [make_release(make_bundle("nlp", root / f"bundle-{seed}", seed=seed), root / f"release-{seed}") for seed in (0, 1)]


@pytest.fixture
def store(tmp_path, releases, releases_of_a_name):
    """With `cv-shapes` and two versions of `nlp-reviews`; the second was registered by run `run-1`."""
    made = open_store(str(tmp_path / "store"))
    put(made, "cv-shapes", releases["cv"])
    for release in releases_of_a_name:
        uri = put(made, "nlp-reviews", release)
    with record.step_record(made, "run-1", "register_model", inputs={}, parameters={}) as step:
        step.results = {"model": "nlp-reviews", "uri": uri}
    return made


@pytest.fixture
def served(store, tmp_path):
    """A server of that store with one model of its own."""
    with serving(app(tmp_path, store=f"file://{store.root}")) as served:
        yield served


def app(tmp_path, **more):
    own = served_model("own", str(sums(tmp_path / "own.onnx")))
    return create_app([own], threads=1, cache=tmp_path / "cache", grpc=("127.0.0.1", 0), **more)


def put(store, name, release):
    return store.put_dir(release, f"models/{name}/{files.read_manifest(release).digest}")


def version_of(release):
    return files.read_manifest(release).digest[:12]


class Rest:
    """The extension over REST."""

    def __init__(self, served):
        self.served = served

    def post(self, path, body=None):
        answer = self.served.http.post(f"/v2/repository/{path}", json=body)
        return answer.status_code, answer.json()

    def index(self, **body):
        status, told = self.post("index", body)
        assert status == 200, told
        return {(entry["name"], entry["version"]): entry["state"] for entry in told}

    def change(self, verb, name, version=""):
        """The error, or nothing."""
        status, told = self.post(f"models/{name}/{verb}", {"parameters": {"version": version}} if version else None)
        return None if status == 200 else (status, told["error"])


class Grpc:
    """The same over gRPC."""

    def __init__(self, served):
        self.served = served

    def index(self, **fields):
        told = self.served.call("RepositoryIndex", message("RepositoryIndexRequest")(**fields))
        return {(entry.name, entry.version): entry.state for entry in told.models}

    def change(self, verb, name, version=""):
        request = message(f"RepositoryModel{verb.title()}Request")(model_name=name)
        if version:
            request.parameters["version"].string_param = version
        try:
            self.served.call(f"RepositoryModel{verb.title()}", request)
        except grpc.RpcError as exc:
            return {"NOT_FOUND": 404, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 503, "UNAVAILABLE": 503}.get(
                exc.code().name, exc.code().name
            ), exc.details()


both = pytest.mark.parametrize("transport", [Rest, Grpc])


@both
def test_what_the_store_has_is_listed_loaded_answered_and_unloaded(served, releases, releases_of_a_name, transport):
    admin = transport(served)
    old, new = map(version_of, releases_of_a_name)
    cv = version_of(releases["cv"])
    (own,) = admin.index(ready=True)
    stored = [("cv-shapes", cv), ("nlp-reviews", old), ("nlp-reviews", new)]
    assert admin.index() == {own: "READY", **dict.fromkeys(stored, "UNAVAILABLE")}
    assert served.ask("raw", "nlp-reviews", [TEXT]).status == "NOT_FOUND"
    assert admin.change("load", "nlp-reviews") is None
    assert admin.index(ready=True) == {own: "READY", ("nlp-reviews", new): "READY"}
    assert admin.change("load", "nlp-reviews", old) is None
    assert admin.change("load", "nlp-reviews", old) is None, "twice is as once"
    assert set(served.http.get("/v2/models/nlp-reviews").json()["versions"]) == {old, new}

    def probabilities(form, version=""):
        return served.ask(form, "nlp-reviews", [TEXT], version=version).outputs["probabilities"].tolist()

    answers = {version: {form: probabilities(form, version) for form in FORMS} for version in (old, new)}
    assert all(len({str(values) for values in told.values()}) == 1 for told in answers.values())
    assert answers[old]["raw"] != answers[new]["raw"]
    assert admin.change("unload", "nlp-reviews", new) is None
    assert served.ask("json", "nlp-reviews", [TEXT], version=new).status == "404"
    assert probabilities("typed") == answers[old]["typed"]
    assert admin.change("unload", "nlp-reviews") is None
    assert admin.index(ready=True) == {own: "READY"}
    assert 'model_info{model="nlp-reviews"' not in str(served.http.get("/metrics").text)


@both
def test_what_the_store_has_not_is_not_found_and_the_near_name_offered(served, transport):
    admin = transport(served)
    status, told = admin.change("load", "nlp-review")
    assert status == 404
    assert told == "model: unknown 'nlp-review'; did you mean 'nlp-reviews'? Known: cv-shapes, nlp-reviews, own"
    status, told = admin.change("load", "nlp-reviews", "00")
    assert (status, "version of model 'nlp-reviews': unknown '00'" in told) == (404, True)
    assert admin.change("unload", "cv-shapes")[0] == 404
    assert admin.change("unload", "own", "8")[0] == 404


@both
def test_without_a_store_nothing_is_loaded_or_unloaded(tmp_path, transport):
    with serving(app(tmp_path)) as served:
        admin = transport(served)
        for verb in ("load", "unload"):
            told = (403, "models: this server loads and unloads none; start it with --store URI")
            assert admin.change(verb, "own") == told
        assert [*admin.index().values()] == ["READY"]


@both
def test_there_is_an_end_to_loading(served, monkeypatch, transport):
    monkeypatch.setattr(repository, "MAX_MODELS", 2)
    admin = transport(served)
    assert admin.change("load", "nlp-reviews") is None
    assert admin.change("load", "cv-shapes") == (503, "2 models are loaded, no more may be; unload one")
    assert admin.change("unload", "nlp-reviews") is None
    assert admin.change("load", "cv-shapes") is None


@both
def test_a_damaged_release_is_refused_and_the_server_goes_on(served, store, transport):
    (graph,) = store.root.glob("models/cv-shapes/*/variants/*.onnx")
    graph.write_bytes(b"damaged")
    status, told = transport(served).change("load", "cv-shapes")
    assert status in (400, "INVALID_ARGUMENT")
    assert graph.name in told
    assert len(told.splitlines()) == 1
    assert served.http.get("/v2/models").json() == {"models": ["own"]}
    assert served.http.get("/v2/health/ready").status_code == 200


def test_a_store_that_does_not_answer_is_a_reason_to_come_back():
    exc = StoreError("http://store: unreachable")
    reason = refusal.reason_of(exc)
    assert (reason.http, reason.grpc, refusal.told(exc)) == (503, "UNAVAILABLE", "http://store: unreachable")


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("index", b"[", "body: not JSON"),
        ("index", b"[]", "body: must be a JSON object"),
        ("index", b'{"ready": 3}', "body.ready: must be true or false, got 3"),
        ("models/own/load", b'{"parameters": [1]}', "parameters: must be an object with a string `version`"),
        ("models/own/unload", b'{"parameters": {"version": 7}}', "parameters: must be an object with a string `version`"),
    ],
)
def test_what_is_no_such_request_is_one_line(served, path, body, says):
    answer = served.http.post(f"/v2/repository/{path}", content=body)
    assert (answer.status_code, says in answer.json()["error"]) == (400, True), answer.text


def test_plain_routes_load_the_model_that_they_name(served, releases_of_a_name):
    by_run = served.http.post("/predict_text", json={"text": "good film", "run_id": "run-1"})
    assert by_run.status_code == 200, by_run.text
    assert served.http.get("/v2/models/nlp-reviews").json()["versions"] == [version_of(releases_of_a_name[1])]
    assert served.http.post("/predict_text", json={"text": "good film", "model": "nlp-reviews"}).json() == by_run.json()
    files_of_a_form = {"file": make_items("cv", 1)[0]}
    assert served.http.post("/predict", files=files_of_a_form, data={"model": "cv-shapes"}).status_code == 200
    for wrong in ({"run_id": "run-2"}, {"model": "cv-shape"}):
        refused = served.http.post("/predict_text", json={"text": "good film", **wrong})
        assert refused.status_code == 404, refused.text
    refused = served.http.post("/predict_text", json={"text": "good film", "run_id": "../run-1"})
    assert refused.status_code == 400, refused.text


def test_a_new_version_takes_over_and_the_old_one_goes_without_a_failed_request(served, releases_of_a_name):
    admin = Rest(served)
    old, new = map(version_of, releases_of_a_name)
    assert admin.change("load", "nlp-reviews", old) is None
    stop, answers = threading.Event(), {form: [] for form in FORMS}

    def ask(form):
        while not stop.is_set():
            answers[form].append(served.ask(form, "nlp-reviews", [TEXT]))

    threads = [threading.Thread(target=ask, args=(form,)) for form in FORMS]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: all(answers.values()), "answers of the old version")
        assert admin.change("load", "nlp-reviews", new) is None
        assert admin.change("unload", "nlp-reviews", old) is None
        seen = {form: len(told) for form, told in answers.items()}
        wait_until(lambda: all(len(told) > seen[form] + 1 for form, told in answers.items()), "answers of the new version")
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE_S)
    expected = served.ask("raw", "nlp-reviews", [TEXT], version=new).outputs["probabilities"].tolist()
    for told in answers.values():
        assert all(answer.ok for answer in told), [answer.error for answer in told if not answer.ok][:3]
        assert told[0].outputs["probabilities"].tolist() != expected
        assert told[-1].outputs["probabilities"].tolist() == expected
    assert admin.index(ready=True).keys() >= {("nlp-reviews", new)}
    assert ("nlp-reviews", old) not in admin.index(ready=True)
