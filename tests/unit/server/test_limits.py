import socket
import threading
import time

import httpx
import pytest

from slipway.protocol.rest import REQUEST_ID, TIMEOUT
from slipway.server.app import create_app
from slipway.server.bundle_model import BundleModel
from slipway.server.dataplane import Limits
from slipway.server.slow import PatientProtocol
from tests.helpers.bundles import make_items
from tests.helpers.servers import DEADLINE_S, running, wait_until
from tests.unit.server.test_v2 import as_request

URL = "/v2/models/held/infer"
BODY = as_request("cv", make_items("cv", 1))


class Held(BundleModel):
    """A model that answers when its gate is opened."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.gate, self.busy = threading.Event(), threading.Semaphore(0)
        self.asked = 0

    def predict(self, items, call):
        self.asked += 1
        self.busy.release()
        assert self.gate.wait(DEADLINE_S)
        call.check()
        return super().predict(items, call)


@pytest.fixture
def held(releases):
    model = Held("held", str(releases["cv"]))
    yield model
    model.gate.set()


def metric(client, name):
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


class Asking:
    """A request in a thread of its own."""

    def __init__(self, client, **more):
        self.response = None

        def ask():
            self.response = httpx.post(f"{client.base_url}{URL}", json=BODY, timeout=DEADLINE_S, **more)

        self._thread = threading.Thread(target=ask)
        self._thread.start()

    def answer(self):
        self._thread.join(DEADLINE_S)
        return self.response


def test_one_request_too_many_is_told_to_come_back_and_the_others_are_answered(held):
    with running(create_app([held], limits=Limits(max_requests=3))) as client:
        asking = [Asking(client) for _ in range(3)]
        wait_until(lambda: metric(client, 'inference_in_flight{model="held"') == 3, "three places to be taken")
        refused = client.post(URL, json=BODY)
        assert (refused.status_code, refused.json()["error"]) == (
            503,
            "overloaded: 3 requests are waiting; try again later",
        )
        assert 1 <= int(refused.headers["Retry-After"]) <= 30
        assert client.get("/v2/health/live").status_code == 200
        held.gate.set()
        assert [a.answer().status_code for a in asking] == [200] * 3
        assert client.post(URL, json=BODY).status_code == 200
        assert metric(client, 'inference_requests_total{model="held"') == 5
        assert metric(client, "inference_in_flight") == 0


def test_bodies_held_are_bounded_together(held):
    with running(create_app([held], limits=Limits(max_held_bytes=10_000))) as client:
        refused = client.post(URL, content=b" " * 20_000)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        held.gate.set()
        assert client.post(URL, json=BODY).status_code == 200, "what was refused is no longer held"


def test_a_deadline_is_kept_and_nobody_computes_for_who_has_gone(held):
    with running(create_app([held], threads=1)) as client:
        late = client.post(URL, json=BODY, headers={TIMEOUT: "80"})
        assert (late.status_code, late.json()["error"]) == (504, "not answered within the 0.08 s that the request allows")
        held.gate.set()
        assert client.post(URL, json=BODY, headers={TIMEOUT: "20000"}).status_code == 200
        assert metric(client, "prediction_class_total") == 1


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "soon", "99999999"])
def test_a_deadline_that_is_none_is_refused(client, text):
    counted = 'inference_requests_total{model="cv-tiny",protocol="rest_v2",status="400"'
    before = metric(client, counted)
    refused = client.post("/v2/models/cv-tiny/infer", json=BODY, headers={TIMEOUT: text})
    assert (refused.status_code, f"got '{text}'" in refused.json()["error"]) == (400, True)
    assert metric(client, counted) == before + 1


def test_a_client_that_goes_away_frees_its_place(held):
    with running(create_app([held], threads=1)) as client:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{client.base_url}{URL}", json=BODY, timeout=httpx.Timeout(DEADLINE_S, read=0.3))
        wait_until(lambda: metric(client, "inference_in_flight") == 0, "its place to be free")
        assert metric(client, 'inference_requests_total{model="held",protocol="rest_v2",status="499"') == 1
        held.gate.set()
        assert client.post(URL, json=BODY).status_code == 200
        assert metric(client, "prediction_class_total") == 1


def read_all(connection):
    connection.settimeout(DEADLINE_S)
    found = b""
    while part := connection.recv(4096):
        found += part
    return found


def test_a_body_that_comes_too_slowly_is_refused(held):
    with running(create_app([held], limits=Limits(body_timeout_s=0.3))) as client:
        address = ("127.0.0.1", client.base_url.port)
        with socket.create_connection(address) as connection:
            connection.sendall(f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{{".encode())
            answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 408"), answer
        assert b"within 0.3 s" in answer


def test_a_connection_without_a_request_is_closed(held, monkeypatch):
    monkeypatch.setattr(PatientProtocol, "headers_timeout_s", 0.3)
    with running(create_app([held]), http=PatientProtocol) as client:
        began = time.monotonic()
        for start in (b"", b"POST /v2 HTTP/1.1\r\nHos"):
            with socket.create_connection(("127.0.0.1", client.base_url.port)) as connection:
                connection.sendall(start)
                assert read_all(connection) == b""
        assert time.monotonic() - began < DEADLINE_S
        held.gate.set()
        for _ in range(2):
            assert client.post(URL, json=BODY).status_code == 200


def test_request_ids_come_back(client):
    given = client.post("/v2/models/cv-tiny/infer", json=BODY, headers={REQUEST_ID: "abc"})
    assert given.headers[REQUEST_ID] == "abc"
    made = {client.post("/v2/models/cv-tiny/infer", content=b"{").headers[REQUEST_ID] for _ in range(2)}
    assert len(made) == 2


def test_a_token_is_needed_where_one_is_set_but_not_by_probes(releases):
    app = create_app([BundleModel("held", str(releases["cv"]))], token="secret")
    with running(app) as client:
        for path in ("/", "/health", "/metrics", "/v2/health/live", "/v2/models/held/ready"):
            assert client.get(path).status_code == 200, path
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer sécret".encode()}):
            refused = client.post(URL, json=BODY, headers=headers)
            assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert "needs `Bearer TOKEN`" in refused.json()["error"]
        assert client.get("/v2/models/held").status_code == 401
        assert client.post(URL, json=BODY, headers={"Authorization": "Bearer secret"}).status_code == 200


def test_pages_of_other_origins_may_ask_only_where_they_are_named(releases):
    origin = {"Origin": "https://app.example"}
    for cors, allowed in (((), None), (("https://app.example",), "https://app.example")):
        with running(create_app([BundleModel("held", str(releases["cv"]))], cors=cors)) as client:
            answer = client.post(URL, json=BODY, headers=origin)
            assert answer.headers.get("access-control-allow-origin") == allowed
