"""Use a team's credentials as its pods do: what they must be able to do in the store, and what they must not."""

import io
import os
import sys
import urllib.request
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

from minio import Minio
from minio.error import S3Error

CONTENT = b"slipway"
FORBIDDEN = "AccessDenied"


def client(name: str) -> Minio:
    """With the credential that the pod has under this name."""
    server = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    user, key = os.environ[f"{name}_AWS_ACCESS_KEY_ID"], os.environ[f"{name}_AWS_SECRET_ACCESS_KEY"]
    return Minio(server.netloc, user, key, secure=server.scheme == "https", region=os.environ["AWS_REGION"])


def refused(what: str, action: Callable[[], object]) -> None:
    """The store must say no."""
    try:
        action()
    except S3Error as exc:
        if exc.code != FORBIDDEN:
            raise
        print(f"refused, as it should be: {what}")
        return
    sys.exit(f"error: the store allowed what it must not: {what}")


def main() -> None:
    bucket, _, prefix = os.environ["SLIPWAY_STORE"].removeprefix("s3://").partition("/")
    models, name = f"{prefix}/models", f"helm-test-{uuid.uuid4().hex}"
    run, reader = client("RUN"), client("MODELS")

    def put(who: Minio, key: str) -> None:
        who.put_object(bucket, key, io.BytesIO(CONTENT), len(CONTENT))

    def read(who: Minio, key: str) -> bytes:
        answer = who.get_object(bucket, key)
        try:
            return answer.read()
        finally:
            answer.close()
            answer.release_conn()

    mine, model = f"{prefix}/{name}", f"{models}/{name}/object"
    try:
        put(run, mine)
        put(run, model)
        if read(run, mine) != CONTENT or read(reader, model) != CONTENT:
            sys.exit("error: read other bytes than were written")
        print(f"written and read back: s3://{bucket}/{mine}, s3://{bucket}/{model}")
        refused("a model server reads the team's other files", lambda: read(reader, mine))
        refused("a model server writes", lambda: put(reader, model))
    finally:
        for key in (mine, model):
            run.remove_object(bucket, key)
    for other in ("teams/of-somebody-else/x", f"{prefix}-2/x", "mlflow/x"):
        refused(f"write {other}", lambda other=other: put(run, other))
        refused(f"read {other}", lambda other=other: read(run, other))
    refused("list the whole bucket", lambda: list(run.list_objects(bucket)))

    # under its Service's name: a wrong list of allowed hosts answers 403
    url = f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/get?experiment_id=0"
    with urllib.request.urlopen(url, timeout=30) as answer:
        print(f"MLflow answers {answer.status} to {url}")


if __name__ == "__main__":
    main()
