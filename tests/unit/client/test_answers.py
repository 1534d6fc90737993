"""What the client hands out is what the bundle says, whatever the way."""

import doctest

import numpy as np
import pytest

import slipway.client
from slipway.client import Client
from slipway.client.transport import GRPC_MAX_BYTES, JSON_MAX_BYTES, Transports
from slipway.errors import ConfigError, DataError, NotFoundError, RequestError
from slipway.explain.explanation import explain
from slipway.server.app import create_app
from slipway.server.models import served_model
from tests.helpers.bundles import FAMILIES, image, make_bundle, make_items, make_release, png
from tests.helpers.servers import running
from tests.unit.client.conftest import TOKEN

COUNT = 20


@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_are_the_bundles_own(client, loaded, family):
    bundle = loaded[family]
    items = make_items(family, COUNT)
    found = client.predict(family, items)
    expected_NK = bundle.predict(items)
    np.testing.assert_array_equal(np.array([list(p.probabilities.values()) for p in found], np.float32), expected_NK)
    assert [p.label for p in found] == [bundle.labels[k] for k in expected_NK.argmax(axis=1)]
    assert all(p.confidence == p.probabilities[p.label] == max(p.probabilities.values()) for p in found)
    assert list(found[0].probabilities) == list(bundle.labels)


def test_paths_bytes_and_pixels_of_any_size_stand_in_one_list(client, loaded, tmp_path):
    rng = np.random.default_rng(0)
    pixels = [image(rng, px, channels) for px, channels in ((40, 3), (40, 3), (50, 3), (32, 3), (40, 1))]
    (tmp_path / "ü.png").write_bytes(png(pixels[0]))
    items = [str(tmp_path / "ü.png"), tmp_path / "ü.png", png(pixels[1]), *pixels]
    expected_NK = np.concatenate([loaded["cv"].predict([p]) for p in [pixels[0], pixels[0], pixels[1], *pixels]])
    found = client.predict("cv", items)
    np.testing.assert_array_equal([list(p.probabilities.values()) for p in found], expected_NK)


def test_texts_come_as_they_are_and_as_files(client, loaded, tmp_path):
    (tmp_path / "a.txt").write_text("a fine film")
    texts = client.predict("nlp", ["a fine film", b"a fine film", tmp_path / "a.txt"])
    assert texts[0] == texts[1] == texts[2]
    assert texts[0].label == loaded["nlp"].labels[loaded["nlp"].predict(["a fine film"]).argmax()]
    assert client.predict("nlp", [str(tmp_path / "a.txt")])[0] != texts[0], "a str is a text"


def test_more_items_than_a_request_takes_go_in_several(client, loaded):
    items = [item.decode() for item in make_items("nlp", 1500)]
    found = client.predict("nlp", items)
    np.testing.assert_allclose([list(p.probabilities.values()) for p in found], loaded["nlp"].predict(items), atol=1e-6)
    assert len(client.explain("nlp", items[:40])) == 40
    assert client.predict("nlp", []) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_explanations_are_the_bundles_own(client, loaded, family):
    items = make_items(family, 3)
    for found, expected in zip(client.explain(family, items), explain(loaded[family], items), strict=True):
        assert found.label == expected.label
        if family == "nlp":
            assert found.tokens == tuple(t.text for t in expected.tokens)
            np.testing.assert_allclose(found.attributions, expected.attributions_T, atol=1e-6)
            assert found.heatmap is None
        else:
            np.testing.assert_allclose(found.heatmap, expected.heatmap_HW, atol=1e-6)
            assert found.tokens == found.attributions == ()


@pytest.mark.parametrize("rows", [1, 3, 20_000])
def test_any_models_tensors_come_back(client, rows):
    x = np.random.default_rng(0).normal(size=(rows, 2)).astype(np.float32)
    words = np.array(["fine", "", "größe"][: min(rows, 3)])
    found = client.infer("own", {"x": x, "words": words})
    np.testing.assert_array_equal(found["twice"], x + x)
    assert found["twice"].dtype == np.float32
    assert found["same"].tolist() == words.tolist()
    found["twice"] += 1  # it is the caller's own
    assert list(client.infer("own", {"x": x, "words": words}, outputs=["same"])) == ["same"]


def test_the_server_tells_of_itself(client, loaded):
    assert client.ready()
    assert client.models() == sorted(["own", *FAMILIES])
    told = client.metadata("cv")
    assert told["outputs"][0]["parameters"]["labels"] == list(loaded["cv"].labels)
    version = told["versions"][0]
    items = make_items("cv", 1)
    assert client.predict(f"cv:{version}", items) == client.predict("cv", items)
    with pytest.raises(NotFoundError, match="version of model 'cv': unknown '7'"):
        client.predict("cv:7", items)


def test_the_way_is_decided_by_size(address):
    ways = {}
    for grpc in ("", address[1]):
        made = Transports(address[0], token="", timeout_s=1, grpc=grpc, transport="auto", sleep=lambda _s: None)
        sizes = [n + more for n in (JSON_MAX_BYTES, GRPC_MAX_BYTES) for more in (0, 1)]
        ways[bool(grpc)] = [made.way(n) for n in sizes], made.way(1, is_json=False)
        made.close()
    assert ways == {
        False: (["json", "binary", "binary", "binary"], "binary"),
        True: (["grpc", "grpc", "grpc", "binary"], "grpc"),
    }


def test_a_new_version_with_other_classes_is_understood(tmp_path):
    sources = {
        version: make_release(make_bundle("nlp", tmp_path / f"bundle-{version}", labels=labels), tmp_path / version)
        for version, labels in {"1": ("bad", "good"), "2": ("fine", "mixed", "poor")}.items()
    }
    served = [served_model("nlp", str(path), version=version) for version, path in sources.items()]
    app = create_app(served)
    with running(app) as http, Client(str(http.base_url)) as client:
        served[1].ready = False  # as while it is being loaded
        assert list(client.predict("nlp", ["good film"])[0].probabilities) == ["bad", "good"]
        served[1].ready = True
        assert list(client.predict("nlp", ["good film"])[0].probabilities) == ["fine", "mixed", "poor"]
        assert list(client.predict("nlp:1", ["good film"])[0].probabilities) == ["bad", "good"]


def test_a_prefix_stands_before_every_route(releases):
    from fastapi import FastAPI

    app = create_app([served_model("nlp", str(releases["nlp"]))])
    outer = FastAPI(lifespan=lambda _outer: app.router.lifespan_context(app))
    outer.mount("/models/a", app)
    with running(outer, ready=False) as http, Client(f"{http.base_url}/models/a/") as client:
        assert client.models() == ["nlp"]
        assert client.predict("nlp", ["fine"])[0].label


ROW = {"x": np.zeros((1, 2), np.float32), "words": ["a"]}
MISTAKES = {
    "bytes of no image": (lambda c: c.predict("cv", [png_of(), b"no image"]), RequestError, "item 1: not an image (8 bytes)"),
    "a file of no image": (lambda c: c.predict("cv", [png_of(), __file__]), RequestError, "test_answers.py: not an image"),
    "no file": (lambda c: c.predict("cv", ["/no/a.png"]), DataError, "/no/a.png: cannot be read (No such file or directory)"),
    "odd path": (lambda c: c.predict("cv", ["\0"]), DataError, "cannot be read (embedded null"),
    "floats": (lambda c: c.predict("cv", [np.zeros((4, 4, 3))]), DataError, "item 0: pixels must be uint8 [H, W, 1 or 3]"),
    "a number": (lambda c: c.predict("nlp", [7]), DataError, "item 0: the model takes texts: a text; got int"),
    "no UTF-8": (lambda c: c.predict("nlp", ["a", b"\xff"]), DataError, "item 1: no text in UTF-8"),
    "half a character": (lambda c: c.predict("nlp", ["\ud800"]), DataError, "item 0: no text in UTF-8"),
    "not a list": (lambda c: c.predict("nlp", "fine film"), RequestError, "items: must be a list"),
    "misspelt model": (lambda c: c.predict("nlq", ["a"]), NotFoundError, "did you mean 'nlp'?"),
    "a path as model": (lambda c: c.predict("../nlp", ["a"]), NotFoundError, "not found"),
    "own tensors": (lambda c: c.predict("own", ["a"]), RequestError, "ask it by Client.infer"),
    "other type": (lambda c: c.infer("own", {"x": np.zeros((1, 2)), "words": ["a"]}), RequestError, "got FP64, 'x' is FP32"),
    "not finite": (lambda c: c.infer("own", {"x": np.full((1, 2), np.nan, "f4")}), RequestError, "x[0]: nan is no finite"),
    "no such type": (lambda c: c.infer("own", {"x": np.zeros(2, complex)}), RequestError, "x: complex128 is no data type"),
    "objects": (lambda c: c.infer("own", {"words": np.array([None])}), RequestError, "words[0]: an array of objects"),
    "output": (lambda c: c.infer("own", ROW, outputs=["twise"]), RequestError, "did you mean 'twice'?"),
    "empty batch": (lambda c: c.predict_folder("cv", ".", batch=0), ConfigError, "batch: must be at least 1"),
    "no folder": (lambda c: c.predict_folder("cv", "/no/folder"), DataError, "/no/folder: no such file or folder"),
    "request id": (lambda c: c.predict("nlp", ["a"], request_id="a\nb"), ConfigError, "request_id: must be printable"),
    "timeout": (lambda c: c.predict("nlp", ["a"], timeout_s=0), ConfigError, "timeout_s: must be above 0"),
    "too large": (lambda c: c.infer("own", {"x": np.zeros((150_000, 2), "f4")}), RequestError, "fewer or smaller items"),
}  # fmt: skip


def png_of():
    return make_items("cv", 1)[0]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_of_its_class(client, name):
    ask, error, words = MISTAKES[name]
    with pytest.raises(error) as raised:
        ask(client)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"url": "127.0.0.1:8080"}, "url: must be http://HOST:PORT"),
        ({"url": "ftp://x"}, "url: must be http://HOST:PORT"),
        ({"url": "http://"}, "url: must be http://HOST:PORT"),
        ({"url": "http://x:y"}, "url: 'http://x:y' is none"),
        ({"url": "http://me:secret@x"}, "give http://x and a token"),
        ({"transport": "fast"}, "transport: unknown 'fast'"),
        ({"transport": "grpc"}, "grpc='HOST:PORT'"),
        ({"grpc": "http://127.0.0.1:8081"}, "grpc: must be HOST:PORT"),
        ({"timeout_s": float("nan")}, "timeout_s: must be above 0"),
        ({"token": "a\n"}, "token: must be printable"),
    ],
)
def test_a_wrong_argument_is_told_before_anything_is_asked(arguments, words):
    with pytest.raises(ConfigError) as raised:
        Client(**{"url": "http://127.0.0.1:8080", **arguments})
    assert words in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("transport", ["json", "grpc"])
def test_another_token_is_the_callers_mistake(address, transport):
    with Client(address[0], token=TOKEN) as right, Client(address[0], token="x", grpc=address[1], transport=transport) as wrong:
        wrong._classifiers["nlp"] = right.classifier("nlp")  # the metadata would be refused before
        with pytest.raises(RequestError, match="the token this server was given"):
            wrong.predict("nlp", ["a"])


def test_the_documentation_s_example_is_true(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "part.png").write_bytes(make_items("cv", 1)[0])
    (tmp_path / "photos" / "1.png").write_bytes(make_items("cv", 1)[0])
    (tmp_path / "photos" / "2.png").write_bytes(b"no image")
    names = {"cv-shapes": "cv", "nlp-reviews": "nlp"}
    models = [served_model(n, str(make_release(make_bundle(f, tmp_path / f, seed=1), tmp_path / n))) for n, f in names.items()]
    with running(create_app(models)) as http:
        text = slipway.client.__doc__.replace("http://127.0.0.1:8080", str(http.base_url))
        test = doctest.DocTestParser().get_doctest(text, {}, "client", None, 0)
        told = []
        found = doctest.DocTestRunner().run(test, out=told.append)
    assert found.attempted == 2
    assert found.failed == 0, "".join(told)
