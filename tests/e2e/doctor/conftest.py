"""A team in a namespace of its own, where `slipway doctor` finds what a test breaks for real."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slipway.cli import main
from slipway.deploy.manifest import inference_service
from slipway.store import files
from slipway.store.s3 import S3Store
from tests.e2e.conftest import RESTRICTED, image
from tests.helpers.bundles import make_bundle, make_release
from tests.helpers.helm import pick, template
from tests.helpers.kube_objects import encoded, obj, s3_secret
from tests.helpers.kubectl import apply, forwarded, kubectl, wait
from tests.helpers.minio_pod import BUCKET, KEYS, minio
from tests.helpers.servers import wait_until

FOUND_S = 240
"""For a pod to be scheduled, to fetch its model, to fail and to be started again, on a node with other things to do."""
MODEL = "cv-tiny"
TEAM = "teams/doctor"


@dataclass(frozen=True)
class Shelf:
    """A MinIO in the cluster with one release in it, and copies of it that are broken."""

    url: str
    """As pods reach it."""
    releases: dict[str, str]
    """`good` and what is wrong with the others -> key below TEAM."""
    digest: str
    """Of the good one."""

    def uri(self, release: str = "good") -> str:
        return f"s3://{BUCKET}/{TEAM}/{self.releases[release]}"


@pytest.fixture(scope="module")
def releases(tmp_path_factory) -> dict[str, Path]:
    """A good release, one that was altered after it was written, one that does not answer as it was exported."""
    root = tmp_path_factory.mktemp("releases")
    good = make_release(make_bundle("cv", root / "bundle"), root / "good")
    strange = make_bundle("cv", root / "strange-bundle")
    arrays = dict(np.load(strange / "selftest.npz"))
    expected = next(name for name in arrays if arrays[name].dtype.kind == "f")
    np.savez(strange / "selftest.npz", **{**arrays, expected: arrays[expected][..., ::-1]})
    files.write_manifest(strange)
    return {"good": good, "strange": make_release(strange, root / "strange")}


@pytest.fixture(scope="module")
def shelf(cluster, releases, tmp_path_factory) -> Iterator[Shelf]:
    """See Shelf."""
    namespace = f"e2e-doctor-{secrets.token_hex(3)}"
    kubectl("create", "namespace", namespace)
    kubectl("label", "namespace", namespace, *(f"{k}={v}" for k, v in RESTRICTED.items()))
    try:
        apply(*minio(namespace, image("minio")))
        wait(namespace, "pod/minio", "condition=Ready")
        with forwarded(namespace, "service/minio", 9000) as address:
            store = S3Store(BUCKET, TEAM, endpoint=f"http://{address}", credentials=KEYS)
            store._client.make_bucket(BUCKET)
            keys = {}
            for name, path in releases.items():
                keys[name] = f"models/{MODEL}/{files.read_manifest(path).digest}"
                store.put_dir(path, keys[name])
            altered = f"models/{MODEL}/altered"
            store.put_dir(releases["good"], altered)
            data = store.get_bytes(f"{altered}/weights.safetensors")
            store.put_bytes(f"{altered}/weights.safetensors", data[:-1] + bytes([data[-1] ^ 1]))
        keys |= {"altered": altered, "absent": f"models/{MODEL}/absent"}
        yield Shelf(f"http://minio.{namespace}.svc:9000", keys, files.read_manifest(releases["good"]).digest)
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")


@dataclass
class Team:
    """A namespace with all that a model of ours needs, and `slipway doctor` for it."""

    namespace: str
    shelf: Shelf
    capsys: Any
    seen: dict[str, Any] = field(default_factory=dict)
    """Of the last walk: link -> state, said, fix."""

    @property
    def service(self) -> dict[str, Any]:
        """The InferenceService, small."""
        made = inference_service(
            name=MODEL, release_uri=self.shelf.uri(), namespace=self.namespace, digest=self.shelf.digest, image=image("serve"),
            cpu="20m", memory="384Mi", max_replicas=1,
        )  # fmt: skip
        made["spec"]["predictor"]["terminationGracePeriodSeconds"] = 1
        return made

    def serve(self, *, release: str = "good", **model: Any) -> None:
        """Apply the InferenceService; `model`: other fields of spec.predictor.model."""
        made = self.service
        made["spec"]["predictor"]["model"] |= {"storageUri": self.shelf.uri(release), **model}
        apply(made)

    def walk(self, *arguments: str) -> int:
        """Exit code of `slipway doctor ARGUMENTS` in this namespace."""
        code = 0
        try:
            main(["doctor", *arguments, "--namespace", self.namespace, "--json"])
        except SystemExit as exc:
            code = int(exc.code or 0)
        out = self.capsys.readouterr()
        assert "Traceback" not in out.out + out.err
        self.seen = {row["link"]: row for row in json.loads(out.out)["links"]}
        return code

    def heals(self) -> None:
        """Walk until nothing of the endpoint is broken."""
        self._until(lambda: self.walk("endpoint", MODEL) == 0, "the endpoint to be healthy")

    def holds(self, link: str, *arguments: str) -> None:
        """Walk until the link holds, whatever else is broken."""

        def held() -> bool:
            self.walk(*arguments)
            return self.seen[link]["state"] == "ok"

        self._until(held, f"{link} to hold")

    def finds(self, link: str, cause: str, fix: str, *arguments: str) -> None:
        """Walk until the link is broken for this cause; everything before it holds."""

        def found() -> bool:
            code = self.walk(*(arguments or ("endpoint", MODEL)))
            row = self.seen[link]
            return code == 2 and row["state"] == "broken" and cause in row["said"]

        self._until(found, f"'{cause}' at {link}")
        assert fix in self.seen[link]["fix"]
        if not arguments:
            assert [name for name, row in self.seen.items() if row["state"] == "broken"] == [link]

    def _until(self, so: Callable[[], bool], what: str) -> None:
        try:
            wait_until(so, what, FOUND_S)
        except AssertionError as exc:
            raise AssertionError(f"{exc}; last seen: {json.dumps(self.seen, indent=1)}") from exc


@pytest.fixture
def team(platform, namespace, shelf, capsys) -> Team:
    """See Team; the test breaks one thing of it. The platform's install has made KServe's downloads fit for such namespaces."""
    runtime = pick(template("slipway-models", namespace=namespace, release="models"), "ServingRuntime")
    endpoint = shelf.url.partition("://")[2]
    apply(
        s3_secret("slipway-models", endpoint, keys=KEYS) | {"metadata": {
            "name": "slipway-models", "namespace": namespace,
            "annotations": s3_secret("x", endpoint)["metadata"]["annotations"]}},
        obj("ServiceAccount", "slipway-models", namespace=namespace, secrets=[{"name": "slipway-models"}]),
        obj("ConfigMap", "slipway-run", namespace=namespace, data={
            "SLIPWAY_STORE": f"s3://{BUCKET}/{TEAM}", "AWS_ENDPOINT_URL": shelf.url,
            "MLFLOW_TRACKING_URI": f"http://mlflow.{namespace}.svc:5000"}),
        obj("Secret", "slipway-store", namespace=namespace,
            data=encoded(dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), KEYS, strict=True)))),
        runtime,
    )  # fmt: skip
    return Team(namespace, shelf, capsys)
