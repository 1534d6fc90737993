import pytest
import yaml

from slipway.deploy.manifest import DRAIN_DELAY_S, GRACE_S, inference_service
from slipway.errors import ConfigError
from slipway.server.main import DRAIN_S
from tests.helpers.servers import REPOSITORY

DIGEST = "0123456789abcdef" * 4
GOLDEN = REPOSITORY / "tests" / "unit" / "deploy" / "inferenceservice.golden.yaml"


def service(**changes):
    options = {
        "name": "cv-digits",
        "release_uri": f"s3://models/prod/models/cv-digits/{DIGEST}",
        "namespace": "team-a",
        "digest": DIGEST,
        "version": "7",
        "image": "registry.example/slipway-serve@sha256:" + "a" * 64,
    }
    return inference_service(**(options | changes))


def test_service_is_the_golden_one():
    """To renew it after a wanted change: python -m tests.unit.deploy.test_service_manifest."""
    assert yaml.safe_load(GOLDEN.read_text()) == service()


def test_version_defaults_to_the_digest_and_the_image_to_the_runtimes_own():
    plain = service(version="", image="")
    assert plain["metadata"]["labels"]["slipway.version"] == DIGEST[:12]
    assert not {"args", "image"} & set(plain["spec"]["predictor"]["model"])


def test_pod_is_given_the_time_that_draining_takes():
    assert GRACE_S >= DRAIN_DELAY_S + DRAIN_S


@pytest.mark.parametrize("name", ["CV", "cv_digits", "-cv", "cv-", "7cv", "c" * 41, "", "cv/x"])
def test_name_that_kubernetes_refuses_is_refused_before(name):
    with pytest.raises(ConfigError, match=r"model name: .* lower-case"):
        service(name=name)


@pytest.mark.parametrize("uri", ["/home/me/store/x", "file:///x", "gs://x/y"])
def test_release_that_pods_cannot_reach_is_refused(uri):
    with pytest.raises(ConfigError, match=r"pods need s3:// or pvc://"):
        service(release_uri=uri)


def test_runtime_is_never_chosen_by_itself_and_is_the_one_services_name():
    runtime = yaml.safe_load((REPOSITORY / "serving" / "servingruntime.yaml").read_text())
    model = service()["spec"]["predictor"]["model"]
    assert runtime["metadata"]["name"] == model["runtime"]
    assert [f["autoSelect"] for f in runtime["spec"]["supportedModelFormats"]] == [False]
    assert runtime["spec"]["supportedModelFormats"][0]["name"] == model["modelFormat"]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert model["securityContext"] == runtime["spec"]["containers"][0]["securityContext"]


def test_arguments_of_runtime_and_service_are_understood_by_the_server():
    from slipway.server.main import arguments

    runtime = yaml.safe_load((REPOSITORY / "serving" / "servingruntime.yaml").read_text())
    args = [*runtime["spec"]["containers"][0]["args"], *service()["spec"]["predictor"]["model"]["args"]]
    parsed = arguments([a.replace("{{.Name}}", "cv-digits") for a in args])
    assert (parsed.host, parsed.port, parsed.model_version) == ("0.0.0.0", 8080, "7")
    assert parsed.releases == ["cv-digits=/mnt/models"]


if __name__ == "__main__":
    GOLDEN.write_text(yaml.safe_dump(service(), sort_keys=False))
