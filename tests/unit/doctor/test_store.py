"""The store of this machine; that of a cluster is in the integration tests, with a real S3 server."""

import shutil


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
