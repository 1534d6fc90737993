"""Provisioning against a real MinIO: what each credential opens, and what it does not. The cluster is a dictionary."""

import base64
import io
from dataclasses import replace

import pytest
from minio import Minio
from minio.error import S3Error

from slipway.deploy.kube import path
from slipway.deploy.provision import Credential, Plan, provision
from slipway.errors import ClusterError, StoreError
from slipway.store.grants import Admin
from tests.helpers.minio_server import minio_server  # noqa: F401

pytestmark = pytest.mark.integration


def where(credential: Credential) -> str:
    return path("v1", credential.namespace, "secrets", credential.secret)


class Cluster:
    """What `Kube` is asked for, kept in memory."""

    def __init__(self, *accounts: str) -> None:
        self.secrets: dict[str, dict] = {}
        self.accounts = accounts

    def find(self, path):
        return self.secrets.get(path)

    def call(self, method, path, what="", **more):
        if method == "PATCH":
            self.secrets[path] = more["body"]
            return more["body"]
        if path.rpartition("/")[2] not in self.accounts:
            raise ClusterError(f"{what}: refused: 404")
        return {"metadata": {"uid": f"uid of {path}"}}

    def keys(self, secret: str) -> tuple[str, str]:
        (found,) = (s for path, s in self.secrets.items() if path.endswith(f"/{secret}"))
        values = {name: base64.b64decode(value).decode() for name, value in found["data"].items()}
        return values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"]


@pytest.fixture
def plan(minio_server, request):  # noqa: F811
    """Of a bucket of its own, with users of its own."""
    bucket = minio_server.new_bucket() + "-p"

    def credential(user: str, prefix: str, write: bool, secret: str) -> Credential:
        return Credential(user=user, prefix=prefix, write=write, namespace="n", secret=secret, account="account")

    grants = (
        credential(f"{bucket}_a_run", "teams/a", True, "slipway-store"),
        credential(f"{bucket}_a_models", "teams/a/models", False, "slipway-models"),
        credential(f"{bucket}_a_model_cv", "teams/a/models/cv", False, "slipway-model-cv"),
    )
    return Plan(endpoint=minio_server.endpoint, region="us-east-1", bucket=bucket, grants=grants)


@pytest.fixture
def admin(minio_server):  # noqa: F811
    return Admin(minio_server.endpoint, user=minio_server.access_key, password=minio_server.secret_key, region="us-east-1")


def quiet(line: str) -> None:
    pass


def client(plan: Plan, keys: tuple[str, str]) -> Minio:
    return Minio(plan.endpoint.removeprefix("http://"), *keys, secure=False)


def outcome(action) -> str:
    """`done`, or the store's code."""
    try:
        answer = action()
        if hasattr(answer, "read"):
            answer.read()
            answer.close()
            answer.release_conn()
        elif answer is not None and not hasattr(answer, "object_name"):
            list(answer)
    except S3Error as exc:
        return exc.code
    return "done"


def put(who: Minio, bucket: str, key: str) -> str:
    return outcome(lambda: who.put_object(bucket, key, io.BytesIO(b"x"), 1))


def test_each_credential_opens_its_own_prefix_and_no_other(plan, admin):
    cluster = Cluster("account")
    done = provision(plan, admin, cluster, say=quiet)
    assert done == {"bucket": plan.bucket, "grants": 3, "made": sorted(g.user for g in plan.grants), "removed": []}
    run, models, one = (client(plan, cluster.keys(g.secret)) for g in plan.grants)
    for key in ("teams/a/x", "teams/a/models/cv/d/x", "teams/a/models/cv-2/d/x"):
        assert put(run, plan.bucket, key) == "done"
    reads = {
        (name, key): outcome(lambda who=who, key=key: who.get_object(plan.bucket, key))
        for name, who in (("models", models), ("one", one))
        for key in ("teams/a/x", "teams/a/models/cv/d/x", "teams/a/models/cv-2/d/x")
    }
    assert reads == {
        ("models", "teams/a/x"): "AccessDenied",
        ("models", "teams/a/models/cv/d/x"): "done",
        ("models", "teams/a/models/cv-2/d/x"): "done",
        ("one", "teams/a/x"): "AccessDenied",
        ("one", "teams/a/models/cv/d/x"): "done",
        ("one", "teams/a/models/cv-2/d/x"): "AccessDenied",
    }
    for who in (models, one):
        assert put(who, plan.bucket, "teams/a/models/cv/d/y") == "AccessDenied"
        assert outcome(lambda who=who: who.remove_object(plan.bucket, "teams/a/models/cv/d/x")) == "AccessDenied"
    for key in ("teams/a-2/x", "teams/b/x", "mlflow/x", "x"):
        assert put(run, plan.bucket, key) == "AccessDenied"
    for who, prefix, answer in (
        (run, "", "AccessDenied"),
        (run, "teams/", "AccessDenied"),
        (run, "teams/a/", "done"),
        (one, "teams/a/models/cv/", "done"),
        (one, "teams/a/models/cv-2/", "AccessDenied"),
        (one, "teams/a/models/", "AccessDenied"),
    ):
        assert outcome(lambda who=who, p=prefix: who.list_objects(plan.bucket, prefix=p, recursive=True)) == answer, prefix


def test_the_store_of_the_product_works_with_a_teams_credential(plan, admin, tmp_path, monkeypatch):
    from slipway.store import files
    from slipway.store.uri import open_store

    cluster = Cluster("account")
    provision(plan, admin, cluster, say=quiet)
    user, key = cluster.keys("slipway-store")
    for name, value in (("AWS_ENDPOINT_URL", plan.endpoint), ("AWS_ACCESS_KEY_ID", user), ("AWS_SECRET_ACCESS_KEY", key)):
        monkeypatch.setenv(name, value)
    store = open_store(f"s3://{plan.bucket}/teams/a")
    with files.atomic_dir(tmp_path / "artifact") as scratch:
        (scratch / "file").write_bytes(b"content")
    store.put_dir(tmp_path / "artifact", "models/cv/d")
    assert store.get_dir("models/cv/d", tmp_path / "copy").joinpath("file").read_bytes() == b"content"
    assert store.keys("models") == ["models/cv/d/MANIFEST.json", "models/cv/d/file"]
    store.sweep(older_than_s=0, delete=True)
    assert store.delete("models/cv/d")
    with pytest.raises(StoreError, match="may not read"):
        open_store(f"s3://{plan.bucket}/teams/b").get_bytes("x")


def test_again_changes_nothing_and_a_removed_secret_is_a_new_key(plan, admin):
    cluster = Cluster("account")
    provision(plan, admin, cluster, say=quiet)
    before = {path: secret["data"] for path, secret in cluster.secrets.items()}
    assert provision(plan, admin, cluster, say=quiet)["made"] == []
    assert {path: secret["data"] for path, secret in cluster.secrets.items()} == before
    old = client(plan, cluster.keys("slipway-store"))
    del cluster.secrets[where(plan.grants[0])]
    assert provision(plan, admin, cluster, say=quiet)["made"] == [plan.grants[0].user]
    assert put(old, plan.bucket, "teams/a/x") == "SignatureDoesNotMatch"
    assert put(client(plan, cluster.keys("slipway-store")), plan.bucket, "teams/a/x") == "done"


def test_a_narrower_plan_narrows_and_a_user_left_out_goes(plan, admin):
    cluster = Cluster("account")
    provision(plan, admin, cluster, say=quiet)
    run, _, one = (client(plan, cluster.keys(g.secret)) for g in plan.grants)
    beside = replace(plan.grants[2], user=f"{plan.bucket}2_a_model_cv", namespace="other")
    provision(replace(plan, bucket=f"{plan.bucket}2", grants=(beside,)), admin, cluster, say=quiet)
    fewer = replace(plan, grants=(replace(plan.grants[0], write=False), plan.grants[1]))
    assert provision(fewer, admin, cluster, say=quiet)["removed"] == [plan.grants[2].user]
    assert beside.user in admin.users()
    assert put(run, plan.bucket, "teams/a/x") == "AccessDenied"
    assert outcome(lambda: one.get_object(plan.bucket, "teams/a/models/cv/x")) == "InvalidAccessKeyId"


def test_the_secret_tells_kserve_where_the_store_is_and_goes_with_its_account(plan, admin):
    cluster = Cluster("account")
    provision(plan, admin, cluster, say=quiet)
    meta = cluster.secrets[where(plan.grants[1])]["metadata"]
    host = plan.endpoint.removeprefix("http://")
    assert meta["annotations"]["serving.kserve.io/s3-endpoint"] == host
    assert meta["annotations"]["serving.kserve.io/s3-usehttps"] == "0"
    assert meta["ownerReferences"][0]["uid"] == "uid of /api/v1/namespaces/n/serviceaccounts/account"
    with pytest.raises(ClusterError, match="ServiceAccount n/account"):
        provision(plan, admin, Cluster(), say=quiet)


def test_a_wrong_root_credential_is_said_as_such(plan, minio_server):  # noqa: F811
    for user, password, code in (
        ("nobody-here", "x" * 12, "InvalidAccessKeyId"),
        (minio_server.access_key, "x" * 12, "SignatureDoesNotMatch"),
    ):
        wrong = Admin(plan.endpoint, user=user, password=password)
        with pytest.raises(StoreError, match=rf"the root credential is refused \({code}\); check rootUser"):
            provision(plan, wrong, Cluster("account"), say=quiet)
        with pytest.raises(StoreError, match=r"the root credential is refused|XMinio"):
            wrong.users()
