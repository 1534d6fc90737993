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


@pytest.mark.parametrize(("name", "namespace"), [("c" * 40, "n" * 6), ("c" * 6, "n" * 40)])
def test_name_of_which_kserve_would_make_too_long_a_host_is_refused(name, namespace):
    with pytest.raises(ConfigError, match="together at most 45 characters, got 46"):
        service(name=name, namespace=namespace)


def test_canary_serves_under_the_models_own_name():
    canary = service(role="canary")
    assert canary["metadata"]["name"] == "cv-digits-canary"
    assert canary["metadata"]["labels"]["slipway.model"] == "cv-digits"
    assert canary["metadata"]["labels"]["slipway.role"] == "canary"
    assert canary["spec"]["predictor"]["model"]["startupProbe"]["httpGet"]["path"] == "/v2/models/cv-digits/ready"
    with pytest.raises(ConfigError, match="must not end with -canary"):
        service(name="cv-canary")


if __name__ == "__main__":
    GOLDEN.write_text(yaml.safe_dump(service(), sort_keys=False))
