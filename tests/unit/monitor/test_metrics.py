import base64
import json

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from slipway.monitor.metrics import PHASES, Metrics
from slipway.server.app import create_app
from slipway.server.models import served_model
from tests.helpers.bundles import make_bundle, make_items
from tests.helpers.servers import wait_until


@pytest.fixture
def client(tmp_path):
    model = served_model("shapes", str(make_bundle("cv", tmp_path / "bundle")), version="3")
    with TestClient(create_app([model])) as client:
        wait_until(lambda: client.get("/v2/health/ready").status_code == 200, "the model")
        yield client


def samples(client):
    """{name{labels}: value} of what the server exposes."""
    found = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def of(found, name, **labels):
    return [value for (n, have), value in found.items() if n == name and set(labels.items()) <= set(have)]


def test_requests_phases_batches_and_answers_are_observed(client):
    data = [base64.b64encode(i).decode() for i in make_items("cv", 5)]
    body = {"inputs": [{"name": "image", "shape": [5], "datatype": "BYTES", "data": data}]}
    answer = client.post("/v2/models/shapes/infer", content=json.dumps(body).encode()).json()
    client.post("/v2/models/shapes/infer", content=b"{}")
    found = samples(client)
    model = {"model": "shapes", "version": "3"}
    assert of(found, "inference_requests_total", **model, protocol="rest_v2", status="200") == [1]
    assert of(found, "inference_requests_total", **model, protocol="rest_v2", status="400") == [1]
    assert of(found, "inference_request_duration_seconds_count", **model) == [2]
    assert of(found, "inference_batch_size_sum", **model) == [5]
    assert of(found, "inference_in_flight", **model) == [0]
    assert sum(of(found, "prediction_class_total", **model)) == 5
    for label in set(answer["outputs"][1]["data"]):
        assert of(found, "prediction_class_total", **{"class": label}) == [answer["outputs"][1]["data"].count(label)]
    assert of(found, "prediction_confidence_count", **model) == [5]
    assert len(of(found, "model_info", **model, family="cv", architecture="tiny_cv")) == 1
    for phase in set(PHASES) - {"explain"}:  # nobody asked why
        assert of(found, "inference_phase_duration_seconds_count", phase=phase) == [1]
    parts = sum(sum(of(found, "inference_phase_duration_seconds_sum", phase=phase)) for phase in PHASES)
    assert 0 < parts <= sum(of(found, "inference_request_duration_seconds_sum"))


def test_failures_are_counted_from_0_so_that_the_first_one_is_an_increase(client):
    found = samples(client)
    assert {*of(found, "inference_requests_total", model="shapes", version="3")} == {0}
    for status in ("500", "503", "504"):
        assert of(found, "inference_requests_total", model="shapes", protocol="grpc_v2", status=status) == [0]


def test_histograms_of_kserve_are_observed_under_their_own_names(client):
    body = {"inputs": [{"name": "image", "shape": [1, 32, 32, 3], "datatype": "UINT8", "data": [7] * 3072}]}
    client.post("/v2/models/shapes/infer", content=json.dumps(body).encode())
    found = samples(client)
    for name in ("request_preprocess_seconds", "request_predict_seconds", "request_postprocess_seconds"):
        assert of(found, f"{name}_count", model_name="shapes") == [1]


def test_unknown_models_cannot_add_series(client):
    before = len(samples(client))
    client.post("/v2/models/a/infer", content=b"{}")
    after = len(samples(client))
    assert after > before
    for name in ("b", "c", "d"):
        client.post(f"/v2/models/{name}/infer", content=b"{}")
    assert len(samples(client)) == after


def test_two_servers_in_one_process_keep_their_own_numbers():
    first, second = Metrics(), Metrics()
    first.observe_request("m", "1", "rest_v2", 200, 0.01)
    assert b'status="200"' in first.exposition()
    assert b'status="200"' not in second.exposition()
