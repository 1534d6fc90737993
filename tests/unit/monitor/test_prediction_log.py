import json
import threading
from datetime import UTC, datetime

import numpy as np
import pytest
from starlette.testclient import TestClient

from slipway import bundle as bundles
from slipway.errors import ConfigError
from slipway.export.reference import reference
from slipway.monitor.batches import Batches
from slipway.monitor.prediction_log import PredictionLog, PredictionLogConfig
from slipway.server.app import create_app
from slipway.server.models import served_model
from tests.helpers.bundles import FAMILIES, image, make_bundle, make_items, png
from tests.helpers.servers import wait_until


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    root = tmp_path_factory.mktemp("logged")
    return {family: bundles.load(make_bundle(family, root / family)) for family in FAMILIES}


def logged(folder):
    """Every line of every object, and the objects' names."""
    paths = sorted(folder.rglob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()], paths


class Asked:
    """A log that is written to, and what it dropped."""

    def __init__(self, target, process="p", **config):
        self.dropped = []
        config = PredictionLogConfig(target=str(target), **{"sample": 1.0} | config)
        self.log = PredictionLog(config, dropped=self.dropped.append, process=process)

    def ask(self, bundle, items, **served):
        probabilities_NK = bundle.predict(items)
        labels = [bundle.labels[k] for k in probabilities_NK.argmax(axis=1)]
        self.log.observe(bundle, items, labels, probabilities_NK, **{"model": "tiny", "version": "3"} | served)
        return labels, probabilities_NK


@pytest.mark.parametrize("family", FAMILIES)
def test_quantities_are_those_of_the_reference(opened, family, tmp_path):
    bundle, items = opened[family], make_items(family, 70, seed=4)
    asked = Asked(tmp_path)
    asked.log.start()
    labels, probabilities_NK = asked.ask(bundle, items)
    asked.log.close()
    lines, _ = logged(tmp_path)
    assert [line["label"] for line in lines] == labels
    assert [line["item"] for line in lines] == list(range(70))
    assert {line["bundle"] for line in lines} == {bundle.digest}
    feeds = bundle.preprocess.encode(items)
    if family == "nlp":
        feeds = {"length": (feeds["counts"] > 0).sum(axis=1)}
    held = reference(feeds=feeds, probabilities_NK=probabilities_NK, train_labels_N=np.zeros(3, int))
    for name in ("confidence", "length" if family == "nlp" else "brightness"):
        counts, _ = np.histogram([line[name] for line in lines], held[f"{name}_edges"])
        np.testing.assert_array_equal(counts, held[f"{name}_counts"])
    entropy = -(probabilities_NK * np.log(probabilities_NK)).sum(axis=1)
    np.testing.assert_allclose([line["entropy"] for line in lines], entropy, rtol=1e-5)


def test_line_of_an_image_and_of_pixels(opened, tmp_path):
    pixels = image(np.random.default_rng(0), 50, 3)[:20]
    asked = Asked(tmp_path)
    asked.log.start()
    asked.ask(opened["cv"], [png(pixels)], request_id="r-1")
    asked.ask(opened["cv"], pixels[None])
    asked.log.close()
    of_file, of_pixels = logged(tmp_path)[0]
    assert of_file["request"] == "r-1"
    assert "request" not in of_pixels
    seen = opened["cv"].preprocess(png(pixels))
    for line in (of_file, of_pixels):
        assert (line["height_px"], line["width_px"]) == (20, 50)
        assert line["brightness"] == seen.mean()
        assert line["contrast"] == seen.std()
        assert (line["model"], line["version"]) == ("tiny", "3")
        age = datetime.now(UTC) - datetime.fromisoformat(line["time"])
        assert 0 <= age.total_seconds() < 60


def test_line_of_a_text_counts_characters_not_bytes(opened, tmp_path):
    asked = Asked(tmp_path)
    asked.log.start()
    asked.ask(opened["nlp"], ["a good film 🙂", "a good film 🙂".encode()])
    asked.log.close()
    assert [(line["characters"], line["length"]) for line in logged(tmp_path)[0]] == [(13, 3)] * 2


def test_sample_is_a_share_of_the_requests_and_follows_from_the_process(opened, tmp_path):
    found = []
    items = make_items("nlp", 2)
    for folder, process in (("a", "p"), ("b", "p"), ("c", "q")):
        asked = Asked(tmp_path / folder, process=process, sample=0.3)
        asked.log.start()
        for i in range(200):
            asked.ask(opened["nlp"], items, request_id=str(i))
        asked.log.close()
        found.append([line["request"] for line in logged(tmp_path / folder)[0]])
    assert found[0] == found[1] != found[2]
    assert all(80 <= len(requests) <= 160 for requests in found)
    assert all(found[0].count(request) == 2 for request in found[0]), "a request is logged as a whole"


def test_off_writes_and_starts_nothing(opened, tmp_path):
    before = threading.active_count()
    asked = Asked(tmp_path, sample=0.0)
    asked.log.start()
    assert threading.active_count() == before
    asked.ask(opened["nlp"], make_items("nlp", 2))
    asked.log.close()
    assert not [*tmp_path.iterdir()]
    assert asked.dropped == []


def test_objects_have_at_most_so_many_lines_of_one_model_each(opened, tmp_path):
    asked = Asked(tmp_path, max_lines=4)
    asked.log.start()
    for model in ("one", "two", "one"):
        asked.ask(opened["nlp"], make_items("nlp", 5), model=model)
    asked.log.close()
    lines, paths = logged(tmp_path / "predictions")
    assert len(lines) == 15
    for path in paths:
        of_one = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(of_one) <= 4
        assert {line["model"] for line in of_one} == {path.parts[-3]}
        assert {line["time"][:10] for line in of_one} == {path.parts[-2]}
        hour, process, number = path.stem.split("-")
        assert {line["time"][11:13] for line in of_one} == {hour}
        assert process == "p"
        assert number.isdecimal()


def test_lines_do_not_wait_longer_than_their_age(opened, tmp_path):
    asked = Asked(tmp_path, max_age_s=0.05)
    asked.log.start()
    asked.ask(opened["nlp"], make_items("nlp", 3))
    wait_until(lambda: len(logged(tmp_path)[0]) == 3, "the lines")
    asked.log.close()


def test_what_does_not_fit_is_dropped_and_counted(opened, tmp_path):
    asked = Asked(tmp_path, max_held=10)
    for _ in range(3):
        asked.ask(opened["nlp"], make_items("nlp", 4))
    assert asked.dropped == [4], "nothing writes yet"
    asked.log.start()
    asked.log.close()
    assert len(logged(tmp_path)[0]) == 8


def test_store_that_cannot_be_written_is_tried_again_and_said_once(opened, tmp_path, caplog):
    target = tmp_path / "store"
    target.write_text("a file where the store should be")
    asked = Asked(target, max_age_s=0.01, max_held=10)
    asked.log.start()
    for _ in range(4):
        asked.ask(opened["nlp"], make_items("nlp", 3))
    wait_until(lambda: caplog.records, "the log to say so")
    assert asked.dropped == [3], "three requests are kept, the fourth does not fit"
    target.unlink()
    asked.log.close()
    assert len(logged(target)[0]) == 9
    assert [r.message for r in caplog.records] == ["prediction log cannot be written, is kept and tried again"]
    assert asked.dropped == [3]


def test_what_cannot_be_written_in_the_end_is_counted(opened, tmp_path, caplog):
    target = tmp_path / "store"
    target.write_text("a file where the store should be")
    asked = Asked(target)
    asked.log.start()
    asked.ask(opened["nlp"], make_items("nlp", 3))
    asked.log.close()
    assert asked.dropped == [3]
    assert caplog.records[-1].message == "prediction log ends without its last lines"
    assert caplog.records[-1].lines == 3


def test_a_failed_object_keeps_its_key(tmp_path):
    target = tmp_path / "store"
    target.write_text("a file where the store should be")
    written = []
    batches = Batches(str(target), "p", max_lines=10, max_age_s=60, written=written.append)
    when = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
    batches.add("m", when, b"1\n")
    for _ in range(2):
        with pytest.raises(Exception, match="Not a directory"):
            batches.write(everything=True)
    target.unlink()
    batches.add("m", when, b"2\n")
    batches.write(everything=True)
    assert {p.name: p.read_bytes() for p in (target / "predictions/m/2026-03-04").iterdir()} == {
        "05-p-1.jsonl": b"1\n",
        "05-p-2.jsonl": b"2\n",
    }
    assert written == [1, 1]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"target": "-", "sample": 1.1}, "must be 0 to 1, the share of requests that are logged, got 1.1"),
        ({"target": "-", "sample": float("nan")}, "must be 0 to 1"),
        ({"sample": 0.5}, "0.5, but no prediction log; give --prediction-log"),
        ({"target": "gs://bucket/x", "sample": 0.5}, "unknown scheme 'gs'"),
    ],
)
def test_wrong_settings_are_one_line(config, words):
    with pytest.raises(ConfigError, match=words):
        PredictionLog(PredictionLogConfig(**config), dropped=print)


def test_every_way_of_asking_is_logged_by_the_server_and_drops_are_a_metric(tmp_path):
    models = [served_model(family, str(make_bundle(family, tmp_path / family)), version="1") for family in ("nlp", "cv")]
    config = PredictionLogConfig(target=str(tmp_path / "store"), sample=1.0, max_held=3)
    marker = "nobody may write this down"
    with TestClient(create_app(models, prediction_log=config)) as client:
        wait_until(lambda: client.get("/v2/health/ready").status_code == 200, "the models")
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [marker]}
        for path, body in (
            ("/v2/models/nlp/infer", {"inputs": [tensor]}),
            ("/v1/models/nlp:predict", {"instances": [marker]}),
            ("/predict_text", {"text": marker}),
            ("/predict_text", {"text": "one too many"}),
        ):
            assert client.post(path, json=body, headers={"X-Request-Id": path}).status_code == 200
        assert "prediction_log_dropped_total 1.0" in client.get("/metrics").text
    lines, paths = logged(tmp_path / "store")
    assert {line["request"] for line in lines} == {"/v2/models/nlp/infer", "/v1/models/nlp:predict", "/predict_text"}
    assert {line["bundle"] for line in lines} == {models[0].digest}
    assert marker not in "".join(path.read_text() for path in paths)
