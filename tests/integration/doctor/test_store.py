"""Stores and releases with a real S3 server: what a namespace's pods are told is tried with their own credential."""

import pytest
import yaml

from slipway.store import files
from slipway.store.s3 import S3Store
from tests.helpers.bundles import make_bundle, make_release
from tests.helpers.kube_objects import MODEL, NAMESPACE, encoded, endpoint, obj, s3_secret

pytestmark = pytest.mark.integration
PREFIX = "teams/a"
RELEASE = f"models/{MODEL}/one"


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    root = tmp_path_factory.mktemp("release")
    return make_release(make_bundle("cv", root / "bundle"), root / "release")


@pytest.fixture
def store(minio_server, release):
    """A team's part of a bucket, with one release."""
    keys = (minio_server.access_key, minio_server.secret_key)
    store = S3Store(minio_server.new_bucket(), PREFIX, endpoint=minio_server.endpoint, credentials=keys)
    store.put_dir(release, RELEASE)
    return store


@pytest.fixture
def team(api, minio_server, store, release):
    """A namespace that is told of it, four times over, and an InferenceService of the release."""
    keys = (minio_server.access_key, minio_server.secret_key)
    ref = {"secretName": "slipway-store", "accessKeyKey": "AWS_ACCESS_KEY_ID", "secretKeyKey": "AWS_SECRET_ACCESS_KEY"}
    credentials = {"fromEnv": False, "secretRef": ref}
    provider = {"endpoint": minio_server.endpoint, "disableSSL": True, "credentials": credentials}
    uri, digest = f"{store.uri}/{RELEASE}", files.read_manifest(release).digest
    api.put(
        *endpoint("http://127.0.0.1:9", storage_uri=uri, digest=digest),
        s3_secret("slipway-models", minio_server.endpoint.partition("://")[2], keys=keys),
        obj("Secret", "slipway-store",
            data=encoded(dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), keys, strict=True)))),
        obj("ConfigMap", "slipway-run", data={
            "SLIPWAY_STORE": store.uri, "AWS_ENDPOINT_URL": minio_server.endpoint,
            "MLFLOW_TRACKING_URI": "http://mlflow:5000"}),
        obj("ConfigMap", "kfp-launcher", data={
            "defaultPipelineRoot": f"{store.uri}/kfp", "providers": yaml.safe_dump({"s3": {"default": provider}})}),
    )  # fmt: skip
    return api


def secret_value(name, key, value):
    return lambda api: api.get("Secret", name)["data"].update(encoded({key: value}))


def run_config(key, value):
    return lambda api: api.get("ConfigMap", "slipway-run")["data"].update({key: value})


def launcher(key, value):
    def change(api):
        data = api.get("ConfigMap", "kfp-launcher")["data"]
        found = yaml.safe_load(data["providers"])
        place = found["s3"]["default"]
        (place["credentials"]["secretRef"] if key in place["credentials"]["secretRef"] else place)[key] = value
        data["providers"] = yaml.safe_dump(found)

    return change


def test_a_team_s_store_is_tried_and_left_as_it_was(team, doctor, store):
    before = store.keys()
    code, links = doctor("store", "--namespace", NAMESPACE)
    assert code == 0
    assert {name for name, (state, *_) in links.items() if state == "not looked at"} == {"room"}
    assert store.keys() == before


@pytest.mark.parametrize(
    ("change", "link", "cause", "fix"),
    [
        (lambda api: api.remove("ConfigMap", "slipway-run"), "configuration", "no ConfigMap 'slipway-run'", "slipway-platform"),
        (run_config("MLFLOW_TRACKING_URI", ""), "configuration", "has no MLFLOW_TRACKING_URI", "add it"),
        (run_config("SLIPWAY_STORE", "/data"), "configuration", "'/data', which pods do not share", "s3://bucket/prefix"),
        (lambda api: api.remove("Secret", "slipway-store"), "credential", "no Secret 'slipway-store'", "slipway-platform"),
        (run_config("AWS_ENDPOINT_URL", "http://127.0.0.1:9"), "server and clock", "does not answer", "is the S3 server up"),
        (run_config("SLIPWAY_STORE", "s3://no-such-bucket-here/a"), "list", "no bucket 'no-such-bucket-here'", "create it"),
        (secret_value("slipway-store", "AWS_ACCESS_KEY_ID", "other"), "list", "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (secret_value("slipway-store", "AWS_SECRET_ACCESS_KEY", "other"), "list", "SignatureDoesNotMatch", "SECRET_ACCESS_KEY"),
        (lambda api: api.remove("Secret", "slipway-models"), "KServe's secrets", "no Secret 'slipway-models'",
         "slipway-platform"),
        (launcher("endpoint", "http://elsewhere:9000"), "KFP's launcher", "leads to http://elsewhere:9000", "disableSSL agree"),
        (launcher("disableSSL", False), "KFP's launcher", "disableSSL false", "disableSSL agree"),
        (launcher("accessKeyKey", "accesskey"), "KFP's launcher", "'accesskey' is not in Secret 'slipway-store'",
         "AWS_ACCESS_KEY_ID"),
    ],
)  # fmt: skip
def test_each_cause_is_found_at_its_link(team, doctor, change, link, cause, fix):
    change(team)
    code, links = doctor("store", "--namespace", NAMESPACE)
    assert code == 2
    assert links[link][0] == "broken"
    assert cause in links[link][1]
    assert fix in links[link][2]


@pytest.fixture
def ask(doctor):
    return lambda: doctor("endpoint", MODEL, "--namespace", NAMESPACE)[1]["release in the store"]


def test_a_release_is_read_with_the_pods_own_secret(team, ask):
    state, said, _ = ask()
    assert state == "ok"
    assert said.endswith("read with slipway-models")


def test_a_wrong_key_of_the_pods_secret(team, ask):
    secret_value("slipway-models", "AWS_SECRET_ACCESS_KEY", "other")(team)
    assert "the secret key does not fit" in ask()[1]


def test_a_release_that_is_not_there_or_not_all_there(team, ask, store):
    data = store.get_bytes(f"{RELEASE}/weights.safetensors")
    store.put_bytes(f"{RELEASE}/weights.safetensors", data[:-1])
    assert ask()[1].endswith("weights.safetensors is missing or cut short")
    manifest = store.get_bytes(f"{RELEASE}/{files.MANIFEST}")
    store._remove([f"{RELEASE}/{files.MANIFEST}"])
    assert "has no MANIFEST.json, so it is incomplete" in ask()[1]
    store.put_bytes(f"{RELEASE}/{files.MANIFEST}", manifest)
    store.delete(RELEASE)
    assert ask()[1].endswith(f"{RELEASE}: nothing is there")


def test_a_release_other_than_the_object_says(team, ask):
    team.get("InferenceService", MODEL)["metadata"]["annotations"]["slipway/release-digest"] = "0" * 64
    assert "the object says 000000000000" in ask()[1]
