import pytest

from slipway.deploy.apply import apply_and_wait
from slipway.deploy.kube import Kube
from slipway.deploy.manifest import inference_service
from slipway.errors import ClusterError
from tests.helpers.kserve_api import KServeApi
from tests.helpers.kube_server import status

URL = "http://cv-digits-predictor.team-a.svc.cluster.local"
LOG = """2026-11-27 06:58:22.913 1 storage.initializer INFO [kserve_storage.py:download():168] Copying contents of s3://x
2026-11-27 06:58:26.544 1 storage.initializer ERROR [initializer-entrypoint:<module>():28] Failed to fetch model.
"""
"""As KServe 0.20 hands it on."""
READY = status(("PredictorReady", "True", "", ""), ("Ready", "True", "", ""), url=URL)


@pytest.fixture
def service():
    return inference_service(name="cv-digits", release_uri="s3://models/x", namespace="team-a", digest="0" * 64)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Point KUBECONFIG at an api server that plays `states`."""

    def start(*states, **options):
        api = KServeApi(states, **options)
        api.__enter__()
        apis.append(api)
        config = str(api.kubeconfig(tmp_path / "kubeconfig"))
        monkeypatch.setattr(
            "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", config
        )  # read from KUBECONFIG at import
        return api

    apis = []
    yield start
    for api in apis:
        api.__exit__(None, None, None)


def test_waits_until_this_generation_is_ready_and_returns_the_url(service, cluster):
    waiting = status(("PredictorReady", "False", "MinimumReplicasUnavailable", "no pod yet"), ("Ready", "False", "", ""))
    api = cluster(status(generation=0), waiting, waiting, READY)
    said = []
    assert apply_and_wait(service, poll_s=0.01, progress=said.append) == URL
    assert said == [
        "team-a/cv-digits: the controller has not looked at it yet",
        "team-a/cv-digits: PredictorReady is False: MinimumReplicasUnavailable; no pod yet",
    ]
    (stored,) = api.objects.values()
    assert stored["spec"] == service["spec"]
    assert [method for method, _ in api.requests] == [
        "PATCH",
        "GET",
        "GET",
        "GET",
        "GET",
        "GET",
    ]  # last the Deployment


def test_ready_while_pods_of_the_release_before_serve_does_not_count(service, cluster):
    cluster(rolling=2)
    said = []
    assert apply_and_wait(service, poll_s=0.01, progress=said.append) == URL
    assert said == [
        "team-a/cv-digits: the controller has not looked at it yet",
        "team-a/cv-digits: its Deployment is not updated yet",
    ]


def test_failed_load_that_the_release_before_left_behind_does_not_count(service, cluster):
    left = status(("Ready", "False", "", ""), modelStatus={"transitionStatus": "BlockedByFailedLoad"})
    cluster(left, left, READY)
    assert apply_and_wait(service, poll_s=0.01) == URL


def test_ready_of_the_generation_before_does_not_count(service, cluster):
    cluster(status(("Ready", "True", "", ""), generation=0, url=URL))
    with pytest.raises(ClusterError, match="not Ready after 0 s: the controller has not looked at it yet"):
        apply_and_wait(service, timeout_s=0, poll_s=0.01)


def test_deadline_tells_the_first_failing_condition(service, cluster):
    cluster(
        status(
            ("IngressReady", "True", "", ""),
            ("PredictorReady", "False", "ImagePullBackOff", "no such\nimage"),
            ("Ready", "False", "", ""),
        )
    )
    with pytest.raises(ClusterError, match=r"PredictorReady is False: ImagePullBackOff; no such image$"):
        apply_and_wait(service, timeout_s=0.05, poll_s=0.01)


def test_model_that_cannot_be_loaded_is_not_waited_for(service, cluster):
    failed = status(
        ("PredictorReady", "False", "", ""),
        modelStatus={
            "transitionStatus": "BlockedByFailedLoad",
            "lastFailureInfo": {"reason": "ModelLoadFailed", "message": LOG},
        },
    )
    cluster(failed)
    with pytest.raises(ClusterError, match="failed: BlockedByFailedLoad: ModelLoadFailed Failed to fetch model"):
        apply_and_wait(service, timeout_s=60, poll_s=0.01, patience_s=0)


@pytest.mark.parametrize(("code", "hint"), [(403, "may not do that"), (404, "is KServe installed"), (422, "refused: 422")])
def test_refusal_says_what_the_api_server_said(service, cluster, code, hint):
    cluster(refuse=(code, "because of\nthat"))
    with pytest.raises(ClusterError, match=f"because of that.*{hint}|{hint}.*because of that") as caught:
        apply_and_wait(service)
    assert "\n" not in str(caught.value)


def test_no_cluster_is_one_line(service, tmp_path, monkeypatch):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterError, match=r"no cluster: neither inside a pod nor a usable kubeconfig.*KUBECONFIG"):
        apply_and_wait(service)


def test_unknown_context_is_told(service, cluster):
    cluster()
    with pytest.raises(ClusterError, match="elsewhere"):
        apply_and_wait(service, kube=Kube("elsewhere"))


def test_cluster_that_does_not_answer_is_one_line(service, cluster):
    api = cluster()
    api.__exit__(None, None, None)
    with pytest.raises(ClusterError, match="the cluster does not answer"):
        apply_and_wait(service)
