import signal

import httpx
import pytest

from slipway.store import files
from slipway.store.uri import open_store
from tests.helpers.minio_server import minio_server, s3_bucket  # noqa: F401  fixtures
from tests.helpers.servers import DEADLINE_S, process, ready_line

pytestmark = pytest.mark.integration


def test_release_is_served_straight_from_s3(releases, s3_bucket, tmp_path):  # noqa: F811
    digest = files.read_manifest(releases["nlp"]).digest
    uri = open_store(f"s3://{s3_bucket}/store").put_dir(releases["nlp"], f"models/nlp/{digest}")
    assert uri.startswith("s3://")
    with process(f"nlp={uri}", "--port", "0", "--cache", str(tmp_path / "cache")) as child:
        ready = ready_line(child)
        assert ready["models"][0]["digest"] == digest
        tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["good film"]}
        answer = httpx.post(f"http://127.0.0.1:{ready['port']}/v2/models/nlp/infer", json={"inputs": [tensor]})
        assert answer.status_code == 200
        child.send_signal(signal.SIGTERM)
        assert child.wait(DEADLINE_S) == 0
