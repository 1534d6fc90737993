"""The store of this machine; that of a cluster is in the integration tests, with a real S3 server."""

import datetime
import email.utils
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


def test_a_directory_is_written_read_listed_and_left_as_it_was(doctor, home):
    code, links = doctor("store")
    assert code == 0
    assert links["delete"][0] == "ok"
    assert [p for p in home.rglob("*") if p.is_file()] == []


def test_a_place_that_cannot_be_written_is_told(doctor, home, monkeypatch):
    home.mkdir()
    (home / "store").write_text("a file where the store should be")
    code, links = doctor("store")
    assert code == 2
    assert "broken" in {state for state, *_ in links.values()}


def test_a_full_disk_is_told(doctor, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 5 << 20))
    code, links = doctor("store")
    assert code == 2
    assert links["room"][1].endswith("5 MiB are free")


def test_an_s3_server_that_is_down_is_told(doctor, monkeypatch):
    monkeypatch.setenv("SLIPWAY_STORE", "s3://slipway/teams/vision")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    code, links = doctor("store")
    assert code == 2
    assert links["server and clock"][2] == "is the S3 server up, and AWS_ENDPOINT_URL right?"
    assert links["write"][0] == "not looked at"


@pytest.fixture
def late_server():
    """An HTTP server whose clock is an hour behind."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response_only(403)
            past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
            self.send_header("Date", email.utils.format_datetime(past, usegmt=True))
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_clocks_too_far_apart_are_told(doctor, monkeypatch, late_server):
    monkeypatch.setenv("SLIPWAY_STORE", "s3://slipway/teams/vision")
    monkeypatch.setenv("AWS_ENDPOINT_URL", late_server)
    code, links = doctor("store")
    assert code == 2
    assert "its clock is -3600 s from this machine's, S3 allows 900 s" in links["server and clock"][1].replace("-3601", "-3600")
    assert links["server and clock"][2] == "set the clocks (NTP)"
