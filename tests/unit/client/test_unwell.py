"""Servers that are busy, slow, gone or something else: tried again where that is safe and in time, told in one line else."""

import json
import socket
import threading
import time

import numpy as np
import pytest

from slipway.client import Client
from slipway.client.retries import BACKOFF_S
from slipway.errors import NotFoundError, RequestError, ServerError, SlipwayError
from slipway.server.app import create_app
from slipway.server.dataplane import Limits
from slipway.server.models import served_model
from tests.helpers.bundles import png
from tests.helpers.scripted import Scripted
from tests.helpers.servers import DEADLINE_S, running
from tests.unit.client.conftest import TOKEN

MODELS = (200, {}, b'{"models": ["a"]}')
BUSY = (503, {"Retry-After": "2"}, b'{"error": "overloaded: 9 requests are waiting; try again later"}')


def ask(answers, **arguments):
    """What `Client.models` says, the seconds it slept, and the requests that came."""
    slept = []
    with Scripted(answers) as server, Client(server.url, sleep=slept.append, **arguments) as client:
        try:
            return client.models(), slept, server.requests
        except SlipwayError as exc:
            return exc, slept, server.requests


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_asked_again_when_the_server_says(status):
    found, slept, requests = ask([(status, {"Retry-After": "2"}, b"{}")] * 2 + [MODELS])
    assert found == ["a"]
    assert len(requests) == 3
    assert all(2 <= s <= 2 + 4 * BACKOFF_S for s in slept)
    assert len(slept) == 2


def test_a_connection_that_breaks_is_made_again():
    found, slept, requests = ask([None, None, MODELS])
    assert (found, len(requests)) == (["a"], 3)
    assert all(0 <= s <= 4 * BACKOFF_S for s in slept)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 415, 422])
def test_a_refusal_is_told_at_once_in_the_servers_line(status):
    found, slept, requests = ask([(status, {"Retry-After": "1"}, b'{"error": "why"}'), MODELS])
    assert type(found) is NotFoundError if status == 404 else isinstance(found, RequestError)
    assert (str(found), slept, len(requests)) == ("why", [], 1)


@pytest.mark.parametrize("status", [500, 501, 505])
def test_a_fault_of_the_server_is_told_at_once(status):
    found, slept, requests = ask([(status, {}, b"<html>\nTraceback"), MODELS])
    assert isinstance(found, ServerError)
    assert not found.retryable
    assert f"/v2/models: answered {status}: <html>" in str(found)
    assert (slept, len(requests)) == ([], 1)


def test_no_wait_goes_beyond_the_callers_own_timeout():
    found, slept, requests = ask([BUSY, MODELS], timeout_s=1.5)
    assert isinstance(found, ServerError)
    assert found.retryable
    assert found.retry_after_s == 2
    assert "answered 503: overloaded: 9 requests" in str(found)
    assert "tried 1 time within 1.5 s, and asks to wait 2 s" in str(found)
    assert (slept, len(requests)) == ([], 1)


def test_waits_grow_up_to_the_timeout_and_the_tries_are_told():
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        time.sleep(seconds)

    with Scripted([(503, {}, b"")]) as server, Client(server.url, timeout_s=0.8, sleep=sleep) as client:
        with pytest.raises(ServerError, match=r"answered 503: nothing; tried (\d+) times within 0.8 s"):
            client.models()
        assert len(server.requests) == len(slept) + 1 > 2
        left = [int(headers["X-Request-Timeout-Ms"]) for _, _, headers, _ in server.requests]
    assert sum(slept) <= 0.8
    assert left == sorted(left, reverse=True)
    assert 0 < left[0] <= 800, "the server is told how long we wait, and less each time"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, {}, b"<html>welcome</html>"), "is it a model server?"),
        ((200, {}, b"[]"), "is it a model server?"),
        ((200, {}, b"{}"), "is it a model server of Slipway?"),
        ((307, {"Location": "https://elsewhere/v2/models"}, b""), "leads to https://elsewhere/v2/models; give that address"),
        ((404, {}, b'{"detail": "Not Found"}'), 'v2/models: answered 404: {"detail": "Not Found"}'),
    ],
)
def test_another_kind_of_server_is_told(answer, words):
    found, _, requests = ask([answer])
    assert words in str(found)
    assert len(requests) == 1


@pytest.mark.parametrize("outputs", [[], [{"name": "probabilities", "datatype": "FP32", "shape": [1, 9], "data": [0.1] * 9}]])
def test_an_answer_without_what_was_asked_is_told(outputs):
    about = {
        "name": "a",
        "versions": ["1"],
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "probabilities", "parameters": {"labels": ["x", "y"]}}],
        "parameters": {"max_items": 8, "max_explained_items": 8},
    }
    answer = {"model_name": "a", "model_version": "1", "outputs": outputs}
    script = [(200, {}, json.dumps(value).encode()) for value in (about, answer)]
    with Scripted(script) as server, Client(server.url) as client, pytest.raises(ServerError) as raised:
        client.predict("a", ["x"])
    assert not raised.value.retryable


def test_no_server_is_told_with_what_to_do(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(url, timeout_s=0.2) as client:
        assert not client.ready()
        with pytest.raises(ServerError, match=rf"{url}: cannot be reached \(Connection refused\); .*slipway serve"):
            client.models()
    with (
        Client("http://127.0.0.1:1", grpc=url.removeprefix("http://"), transport="grpc", timeout_s=0.3) as client,
        pytest.raises(ServerError, match=r"answered UNAVAILABLE.*tried \d+ times?"),
    ):
        client.infer("a", {"x": [1.0]})


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"])
def test_a_server_that_keeps_one_waiting_is_left_in_time(says):
    """It says nothing, or a byte now and then, which no timeout of a single read would end."""
    stop = threading.Event()

    def trickle(listening):
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(says)
            while not stop.wait(0.02):
                if says:
                    connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=trickle, args=(listening,), daemon=True)
        thread.start()
        began = time.monotonic()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            with Client(url, timeout_s=0.4) as client, pytest.raises(ServerError, match="no answer in time"):
                client.models()
        finally:
            stop.set()
            thread.join(DEADLINE_S)
    assert time.monotonic() - began > 0.3


@pytest.mark.parametrize("transport", ["json", "grpc"])
def test_a_server_without_a_free_place_is_asked_again(releases, transport):
    """No place at first: a real server's own refusal, by HTTP and gRPC."""
    app = create_app([served_model("nlp", str(releases["nlp"]))], grpc=("127.0.0.1", 0), limits=Limits(max_requests=1))
    plane = app.state.plane
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        plane._accepted = 0

    with running(app) as http:
        grpc = f"127.0.0.1:{app.state.grpc_port}"
        with Client(str(http.base_url), grpc=grpc, transport=transport, sleep=sleep) as client:
            expected = client.predict("nlp", ["fine film"])
            plane._accepted = 1
            assert client.predict("nlp", ["fine film"]) == expected
            assert len(slept) == 1
            assert slept[0] >= 1, "as the server asked"
            plane._accepted = 1
            with pytest.raises(ServerError, match="overloaded: 1 requests are waiting"):
                client.predict("nlp", ["fine film"], timeout_s=0.9)
            plane._accepted = 0


@pytest.mark.parametrize("transport", ["json", "binary", "grpc"])
def test_a_real_server_gives_up_with_its_caller(address, transport):
    """Tenths of a second of decoding, for a caller who waits less."""
    heavy = [png(np.zeros((2000, 2000, 3), np.uint8))] * 6
    with Client(address[0], token=TOKEN, grpc=address[1], transport=transport) as client:
        client.classifier("cv")
        with pytest.raises(ServerError, match=r"answered (504|DEADLINE_EXCEEDED)|no answer in time"):
            client.predict("cv", heavy, timeout_s=0.05)
        assert len(client.predict("cv", heavy)) == 6


@pytest.mark.parametrize("transport", ["binary", "grpc"])
def test_threads_share_a_client(address, loaded, transport):
    texts = ["fine film", "bad plot", "a great story", "dull"]
    found = {}
    with Client(address[0], token=TOKEN, grpc=address[1], transport=transport) as client:

        def work(text):
            found[text] = [client.predict("nlp", [text])[0].confidence for _ in range(20)]

        threads = [threading.Thread(target=work, args=(text,)) for text in texts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
    assert found == {text: [float(loaded["nlp"].predict([text]).max())] * 20 for text in texts}


def test_the_request_id_is_passed_on():
    answer = b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1]}]}'
    with Scripted([(200, {}, answer)]) as server, Client(server.url) as client:
        assert client.infer("own", {"x": [1.0]}, request_id="order 7")["y"] == 1
    assert server.requests[0][2]["X-Request-Id"] == "order 7"


def test_a_proxy_of_the_environment_is_not_on_the_way_to_this_machine(monkeypatch):
    with Scripted([(502, {}, b"")]) as proxy, Scripted([MODELS]) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with Client(server.url) as client:
            assert client.models() == ["a"]
        with Client("http://models.example", timeout_s=0.1) as client, pytest.raises(ServerError):
            client.models()
    assert proxy.requests[0][1] == "http://models.example/v2/models"
