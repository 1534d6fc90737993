import base64
import json
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from slipway import bundle as bundles
from slipway import engines
from slipway.errors import ConfigError
from slipway.explain.explanation import explain
from slipway.server.app import create_app
from slipway.server.bundle_model import EXPLAINED, MAX_EXPLAINED
from slipway.server.call import Call
from slipway.server.dataplane import Limits
from slipway.server.models import Place, served_model
from slipway.server.scheduler import Scheduler
from slipway.store import files
from tests.helpers.bundles import FAMILIES, LABELS, image, make_items, make_release
from tests.helpers.servers import REPOSITORY


def as_request(family, items, **more):
    name = "text" if family == "nlp" else "image"
    data = [i.decode() if family == "nlp" else base64.b64encode(i).decode() for i in items]
    return {"inputs": [{"name": name, "shape": [len(items)], "datatype": "BYTES", "data": data}], **more}


def ask(client, family, request, path=""):
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return client.post(f"/v2/models/{family}-tiny{path}/infer", content=body)


def outputs(response):
    assert response.status_code == 200, response.text
    return {output["name"]: output for output in response.json()["outputs"]}


@pytest.mark.parametrize("family", FAMILIES)
def test_server_gives_the_probabilities_of_bundle_predict_for_the_same_bytes(client, loaded, family):
    items = make_items(family, 70)
    expected = loaded[family].predict(items)
    answer = outputs(ask(client, family, as_request(family, items)))
    found = np.array(answer["probabilities"]["data"], np.float32).reshape(answer["probabilities"]["shape"])
    np.testing.assert_array_equal(found, expected)
    assert answer["label"]["data"] == [LABELS[family][k] for k in expected.argmax(axis=1)]
    assert len(set(answer["label"]["data"])) > 1, "the tiny model must tell items apart"


@pytest.mark.parametrize(("family", "px"), [("cv", 32), ("cv", 45), ("defect", 64)])
def test_pixels_are_answered_as_the_same_image(client, loaded, family, px):
    rng = np.random.default_rng(3)
    pixels = np.stack([image(rng, px, 3 if family == "cv" else 1) for _ in range(3)])
    tensor = {"name": "image", "shape": list(pixels.shape), "datatype": "UINT8", "data": pixels.ravel().tolist()}
    found = outputs(ask(client, family, {"inputs": [tensor]}))["probabilities"]["data"]
    np.testing.assert_array_equal(np.array(found, np.float32), loaded[family].predict(list(pixels)).ravel())


@pytest.mark.parametrize("family", FAMILIES)
def test_reasons_are_given_on_request_as_explain_finds_them(client, loaded, family):
    items = make_items(family, 3)
    names = EXPLAINED["text" if family == "nlp" else "image"]
    answer = outputs(ask(client, family, as_request(family, items, outputs=[{"name": name} for name in ("label", *names)])))
    assert tuple(answer) == ("label", *names)
    for i, told in enumerate(explain(loaded[family], items)):
        assert answer["label"]["data"][i] == told.label
        if family == "nlp":
            tokens, values = (np.array(answer[name]["data"]).reshape(answer[name]["shape"])[i] for name in names)
            count = len(told.tokens)
            assert [*tokens] == [t.text for t in told.tokens] + [""] * (len(tokens) - count)
            np.testing.assert_allclose(values[:count], told.attributions_T, atol=1e-6)
            assert not values[count:].any()
        else:
            heatmaps = np.array(answer["heatmap"]["data"]).reshape(answer["heatmap"]["shape"])
            np.testing.assert_allclose(heatmaps[i], told.heatmap_HW, atol=1e-6)


def test_reasons_of_a_text_without_words_are_empty(client):
    answer = outputs(ask(client, "nlp", as_request("nlp", [b"?!"], outputs=[{"name": "tokens"}, {"name": "attributions"}])))
    assert [(o["shape"], o["data"]) for o in answer.values()] == [([1, 0], []), ([1, 0], [])]


def test_reasons_of_too_many_items_are_refused(client):
    request = as_request("cv", make_items("cv", MAX_EXPLAINED + 1), outputs=[{"name": "heatmap"}])
    answer = ask(client, "cv", request)
    assert answer.status_code == 400
    assert answer.json()["error"] == "inputs[0].shape: 17 items, allowed are 16 in a request for heatmap; send several"


def test_requested_outputs_come_in_the_order_asked_for(client):
    request = as_request("nlp", [b"good film"], id="a", outputs=[{"name": "label"}, {"name": "probabilities"}])
    answer = ask(client, "nlp", request).json()
    assert [output["name"] for output in answer["outputs"]] == ["label", "probabilities"]
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("a", "nlp-tiny", "7")
    only = as_request("nlp", [b"good film"], outputs=[{"name": "label"}])
    assert list(outputs(ask(client, "nlp", only))) == ["label"]


def test_a_server_says_which_variants_it_passed_over(releases, tmp_path, monkeypatch, caplog):
    bundles.with_variants(bundles.load(releases["cv"]), tmp_path / "bundle", {"openvino-fp32": (bundles.BASE, {})})
    release = make_release(tmp_path / "bundle", tmp_path / "release", order=("openvino-fp32", bundles.BASE))
    monkeypatch.setitem(sys.modules, "openvino", None)
    engines._openvino_core.cache_clear()
    model = served_model("m", str(release))
    model.load(Place(cache=tmp_path, scheduler=Scheduler(1)))
    told = model.metadata()["parameters"]
    assert told["variant"] == bundles.BASE
    assert "install slipway[openvino]" in told["passed_over"]["openvino-fp32"]
    assert [record.variant for record in caplog.records if record.message == "variant passed over"] == ["openvino-fp32"]


def test_metadata_states_inputs_and_the_order_of_the_classes(client, releases):
    metadata = client.get("/v2/models/cv-tiny").json()
    digest = files.read_manifest(releases["cv"]).digest
    assert metadata["versions"] == [digest[:12]]
    assert metadata["inputs"][0]["name"] == "image"
    assert metadata["inputs"][0]["parameters"]["content_type"] == "base64"
    assert metadata["outputs"][0]["parameters"]["labels"] == list(LABELS["cv"])
    assert client.get(f"/v2/models/cv-tiny/versions/{digest[:12]}").json() == metadata
    assert client.get("/v2/models").json() == {"models": ["cv-tiny", "defect-tiny", "nlp-tiny"]}
    assert client.get("/v2").json()["name"] == "slipway"


def test_loaded_version_answers_and_another_one_is_not_found(client):
    request = as_request("nlp", [b"good film"])
    assert ask(client, "nlp", request, "/versions/7").status_code == 200
    refused = ask(client, "nlp", request, "/versions/8")
    assert refused.status_code == 404
    assert "unknown '8'" in refused.json()["error"]
    assert "Known: 7" in refused.json()["error"]
    assert client.get("/v2/models/nlp-tiny/versions/7/ready").json() == {"name": "nlp-tiny", "ready": True}


def test_unreadable_item_beyond_the_first_chunk_keeps_its_position(client):
    refused = ask(client, "cv", as_request("cv", [*make_items("cv", 1) * 100, b"x"]))
    assert "item 100: not an image" in refused.json()["error"]


def test_text_that_is_not_utf8_is_refused(client):
    request = as_request("nlp", [b"x"])
    request["inputs"][0] |= {"data": [base64.b64encode(b"\xff").decode()], "parameters": {"content_type": "base64"}}
    refused = ask(client, "nlp", request)
    assert refused.status_code == 400
    assert "not UTF-8" in refused.json()["error"]


def test_unknown_model_is_not_found_and_the_near_name_offered(client):
    refused = client.post("/v2/models/cv-tinny/infer", content=b"{}")
    assert refused.status_code == 404
    assert "did you mean 'cv-tiny'" in refused.json()["error"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v3", 404), ("GET", "/v2/models/cv-tiny/infer", 405)])
def test_wrong_route_or_method_is_told_as_json(client, method, path, status):
    refused = client.request(method, path)
    assert refused.status_code == status
    assert "/docs" in refused.json()["error"]


def test_body_above_the_limit_is_refused(client):
    refused = ask(client, "cv", b" " * (Limits().max_body_bytes + 1))
    assert refused.status_code == 413
    assert "64 MB" in refused.json()["error"]


def test_encodings_that_are_not_implemented_are_refused_by_name(client):
    refused = client.post("/v2/models/cv-tiny/infer", content=b"{}", headers={"Content-Encoding": "gzip"})
    assert refused.status_code == 415
    assert "gzip" in refused.json()["error"]


def test_nothing_is_ready_before_the_models_are_loaded(releases):
    client = TestClient(create_app([served_model("cv", str(releases["cv"]))]))  # not entered: start-up has not run
    assert client.get("/v2/health/live").status_code == 200
    for path in ("/v2/health/ready", "/v2/models/cv/ready"):
        assert client.get(path).status_code == 503
        assert client.get(path).json()["ready"] is False
    refused = client.post("/v2/models/cv/infer", content=b"{}")
    assert refused.status_code == 503
    assert "being loaded" in refused.json()["error"]
    assert "Being loaded" in client.get("/docs").text


def test_nothing_is_ready_while_the_server_drains(releases):
    models = [served_model("cv", str(releases["cv"]))]
    loaded = []
    with TestClient(create_app(models, draining=lambda: bool(loaded), on_loaded=loaded.append)) as client:
        while not loaded:
            client.get("/v2/health/live")
        assert client.get("/v2/health/ready").status_code == 503
        assert client.get("/v2/models/cv/ready").status_code == 503


def test_release_is_served_from_a_store_uri(releases, tmp_path):
    model = served_model("nlp", releases["nlp"].as_uri())
    model.load(Place(cache=tmp_path, scheduler=Scheduler(1)))
    assert model.version == files.read_manifest(releases["nlp"]).digest[:12]
    assert model.predict(["good film"], Call("test"))[1].shape == (1, 2)


def test_two_models_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="different names"):
        create_app([served_model("a", "x"), served_model("a", "y")])


def test_name_that_does_not_fit_a_url_is_refused():
    with pytest.raises(ConfigError, match="'a/b'"):
        served_model("a/b", "x")


@pytest.mark.parametrize("path", sorted((REPOSITORY / "serving" / "examples").glob("*.json")), ids=lambda p: p.stem)
def test_example_payload_is_answered(client, path):
    family = path.stem.partition("-")[0]
    assert ask(client, family, path.read_bytes()).status_code == 200


scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=6), v, max_size=3), max_leaves=8
)
items = st.sampled_from([base64.b64encode(i).decode() for i in make_items("cv", 2)])
shapes = st.lists(st.integers(-1, 4), max_size=5) | values
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["image", "text", "imag"]) | values,
        "shape": shapes,
        "datatype": st.sampled_from(["BYTES", "UINT8", "FP32"]) | values,
        "data": st.lists(items | st.integers(-1, 256) | values, max_size=12) | values,
    },
    optional={"parameters": st.fixed_dictionaries({"content_type": st.sampled_from(["base64", "str"]) | values}) | values},
)
requests = st.fixed_dictionaries(
    {"inputs": st.lists(tensors, min_size=1, max_size=2) | values},
    optional={
        "id": values,
        "outputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["label", "x"])}), max_size=2) | values,
    },
)


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=requests | values, family=st.sampled_from(FAMILIES), cut=st.integers(0, 3))
def test_no_request_makes_the_server_fail(client, request, family, cut):
    body = json.dumps(request).encode()
    response = ask(client, family, body[: len(body) - cut])
    assert response.status_code in (200, 400), response.text
    assert "error" in response.json() or "outputs" in response.json()


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 300), value=st.integers(0, 255), length=st.integers(0, 10_000))
def test_no_damaged_image_makes_the_server_fail(client, position, value, length):
    damaged = bytearray(make_items("cv", 1)[0])
    damaged[position] = value
    response = ask(client, "cv", as_request("cv", [bytes(damaged[:length])]))
    assert response.status_code in (200, 400), response.text
