"""URIs, and what an S3 server refuses."""

import http.server
import threading
import time

import pytest

from slipway.errors import ConfigError, NotFoundError, StoreError
from slipway.store.local import LocalStore
from slipway.store.uri import fetch, open_store

RETRIES_S = 20  # less than what a store tries again for, and far more than one answer takes


@pytest.mark.parametrize("prefix", ["", "file://", "file://localhost"])
def test_directories_are_named_by_path_or_file_uri(tmp_path, prefix):
    store = open_store(f"{prefix}{tmp_path}/my store" if not prefix else f"{prefix}{tmp_path}/my%20store")
    assert store.uri == f"{tmp_path}/my store"


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("", "give a directory or s3://bucket/prefix"),
        ("gs://bucket", "unknown scheme 'gs'; use a directory, file:// or s3://"),
        ("file://other/path", "a file URI has an absolute path of this machine"),
        ("s3://", "bucket '' must be 3 to 63 characters"),
        ("s3://Bad_Bucket/x", "bucket 'Bad_Bucket' must be"),
        ("s3://bucket/a/../b", "part '..' is not allowed"),
    ],
)
def test_malformed_store_uri_says_what_is_allowed(uri, says):
    with pytest.raises(ConfigError, match=says.replace(".", r"\.")):
        open_store(uri)


@pytest.mark.parametrize("endpoint", ["minio:9000", "ftp://minio", "http://", "http://u:p@minio", "http://minio/path"])
def test_malformed_endpoint_names_its_variable(monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL: must be http://host:port"):
        open_store("s3://bucket")


def test_fetch_of_a_bucket_or_of_nothing_says_so(tmp_path):
    with pytest.raises(ConfigError, match="names a bucket, not an artifact"):
        fetch("s3://bucket", tmp_path)
    with pytest.raises(NotFoundError, match="no such directory"):
        fetch(str(tmp_path / "nothing"), tmp_path)


def test_unwritable_directory_is_a_store_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="Not a directory; the store cannot be used"):
        LocalStore(tmp_path / "file").put_bytes("a/b", b"")


def test_unreachable_endpoint_is_reported_after_bounded_retries(monkeypatch):
    from slipway.store.s3 import S3Store

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    started = time.monotonic()
    with pytest.raises(StoreError) as caught:
        S3Store("bucket", endpoint="http://127.0.0.1:1", retry_s=0.5).get_bytes("x")
    assert 0.1 <= time.monotonic() - started < RETRIES_S
    assert str(caught.value) == (
        "http://127.0.0.1:1: unreachable, cannot read s3://bucket/x (Failed to establish a new connection: "
        "[Errno 111] Connection refused); check AWS_ENDPOINT_URL and that the server runs"
    )


@pytest.mark.integration
@pytest.mark.parametrize(
    ("env", "bucket", "says"),
    [
        (
            {"AWS_ACCESS_KEY_ID": "nobody"},
            None,
            "wrong credentials: the access key is unknown (InvalidAccessKeyId); check AWS_ACCESS",
        ),
        (
            {"AWS_SECRET_ACCESS_KEY": "wrong-secret"},
            None,
            "wrong credentials: the secret key does not fit (SignatureDoesNotMatch)",
        ),
        ({}, "no-such-bucket", "no bucket 'no-such-bucket'; create it, or name another in SLIPWAY_STORE"),
    ],
)
def test_server_refusals_say_what_to_change_at_once(s3_bucket, minio_server, monkeypatch, env, bucket, says, make_artifact):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    store = open_store(f"s3://{bucket or s3_bucket}/x")
    for act in (
        lambda: store.get_bytes("a"),
        lambda: store.put_bytes("a", b""),
        lambda: store.exists("a"),
        store.keys,
        lambda: store.put_dir(make_artifact(), "b"),
    ):
        started = time.monotonic()
        with pytest.raises(StoreError) as caught:
            act()
        assert time.monotonic() - started < RETRIES_S, "not tried again"
        assert str(caught.value).startswith(f"{minio_server.endpoint}: {says}")
        assert "\n" not in str(caught.value)


@pytest.mark.integration
def test_missing_credentials_are_named(s3_bucket, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/none")  # no cloud's metadata service either
    with pytest.raises(StoreError, match="no S3 credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        open_store(f"s3://{s3_bucket}").get_bytes("a")


@pytest.fixture
def answering(monkeypatch):
    """answering([(status, content type, body), …]) -> endpoint: an HTTP server giving these, the last for ever."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    servers = []

    def start(answers):
        left = list(answers)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, kind, body = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


SLOW_DOWN = (503, "application/xml", b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
BAD_GATEWAY = (502, "text/html", b"<html>Bad Gateway</html>")
FULL = (507, "application/xml", b"<Error><Code>XMinioStorageFull</Code><Message>Delete a few objects.</Message></Error>")
LOCATION = (200, "application/xml", b"<LocationConstraint></LocationConstraint>")
WEB_PAGE = (404, "text/html", b"<html>Not Found</html>")


def test_trouble_that_passes_is_waited_for(answering):
    from slipway.store.s3 import S3Store

    endpoint = answering([SLOW_DOWN, BAD_GATEWAY, LOCATION, SLOW_DOWN, (200, "text/plain", b"content")])
    assert S3Store("bucket", endpoint=endpoint, retry_s=10).get_bytes("x") == b"content"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (WEB_PAGE, r"cannot read s3://bucket/x \(HTTP status 404\); this is no S3 server, check AWS_ENDPOINT_URL"),
        (BAD_GATEWAY, r"cannot read s3://bucket/x \(HTTP status 502\); the server is not well"),
        (FULL, r"the store is full: cannot read s3://bucket/x; make room"),
        (SLOW_DOWN, r"cannot read s3://bucket/x \(SlowDown: Please reduce your request rate\.\)"),
    ],
)
def test_trouble_that_stays_is_reported(answering, answer, says):
    from slipway.store.s3 import S3Store

    with pytest.raises(StoreError, match=says):
        S3Store("bucket", endpoint=answering([answer]), retry_s=0.3).get_bytes("x")


@pytest.mark.integration
def test_interrupted_upload_is_continued_not_repeated(s3_bucket, make_artifact, minio_server):
    store = open_store(f"s3://{s3_bucket}")
    artifact = make_artifact(content={"big.bin": b"x" * 100_000, "small": b"y"})
    store.put_dir(artifact, "a/1")
    client = minio_server.client()
    before = client.stat_object(s3_bucket, "a/1/big.bin").last_modified, client.stat_object(s3_bucket, "a/1/big.bin").etag
    client.remove_object(s3_bucket, "a/1/MANIFEST.json")
    store.put_bytes("a/1/.uploading", b"0" * 64)
    store.put_bytes("a/1/stale", b"of another content")
    store.put_bytes("a/1/small", b"z")
    assert store.keys() == []
    store.put_dir(artifact, "a/1")
    assert store.keys() == ["a/1/MANIFEST.json", "a/1/big.bin", "a/1/small"]
    assert store.get_bytes("a/1/small") == b"y"
    after = client.stat_object(s3_bucket, "a/1/big.bin").last_modified, client.stat_object(s3_bucket, "a/1/big.bin").etag
    assert before == after
