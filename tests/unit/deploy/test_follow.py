"""A follower against a real HTTP server that keeps the objects, and a registry that moves, fails and comes back."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from threading import Event

import pytest

from slipway.cli.deploy import _of_file
from slipway.deploy.follow import Followed, Follower
from slipway.deploy.kube import Kube
from slipway.deploy.manifest import inference_service
from slipway.deploy.rollout import Rollout
from slipway.deploy.route import Gateway
from slipway.deploy.service import Release, release_of
from slipway.errors import ConfigError, TrackingError
from tests.helpers.kserve_api import KServeApi

TEAM = "team-a"
GATEWAY = Gateway(namespace="infra", name="gw", domain="models.example")


def release(model, version):
    return Release(model=model, version=str(version), uri=f"s3://slipway/{model}/{version}", digest=f"{version:064x}")


class Registry:
    """Aliases by NAME@ALIAS; or nothing answers."""

    def __init__(self, **versions):
        self.versions, self.down = {f"{name}@champion": release(name, v) for name, v in versions.items()}, False

    def resolve(self, spec):
        if self.down:
            raise TrackingError("http://mlflow:5000: MLflow does not answer")
        return self.versions[spec]


@pytest.fixture
def api(tmp_path, monkeypatch):
    with KServeApi() as api:
        monkeypatch.setattr(
            "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(api.kubeconfig(tmp_path / "kubeconfig"))
        )
        yield api


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def follower(registry, *models, said, **more):
    options = {"kube": Kube, "namespace": TEAM, "resolve": registry.resolve, "say": said.append, "interval_s": 30.0} | more
    return Follower(models, **options)


def served(api, name):
    return release_of(api.get("InferenceService", name)).version


def changes(api):
    return [path.rsplit("/", 1)[1] for method, path in api.requests if method != "GET"]


def test_service_moves_with_the_alias_and_rests_between(api):
    said, registry = [], Registry(cv=1, nlp=4)
    follow = follower(registry, Followed(name="cv"), Followed(name="nlp", min_replicas=2), said=said)
    follow.round()
    assert (served(api, "cv"), served(api, "nlp")) == ("1", "4")
    assert api.get("InferenceService", "nlp")["spec"]["predictor"]["minReplicas"] == 2
    follow.round()
    follow.round()
    assert changes(api) == ["cv", "nlp"]
    registry.versions["cv@champion"] = release("cv", 2)
    follow.round()
    follow.round()
    assert changes(api) == ["cv", "nlp", "cv"]
    assert said[-3:] == [
        "cv version 2 (000000000000): applied as cv@champion, was version 1",
        "cv version 2 (000000000000): waiting: the controller has not looked at it yet",
        "cv version 2 (000000000000): serves",
    ]


def test_a_look_asks_for_each_object_once(api):
    follow = follower(Registry(cv=1), Followed(name="cv"), said=[], gateway=GATEWAY)
    follow.round()
    api.requests.clear()
    follow.round()
    assert sorted(path.rpartition("/namespaces/")[2] for _, path in api.requests) == [
        "team-a/deployments/cv-predictor",
        "team-a/httproutes/cv",
        "team-a/inferenceservices/cv",
        "team-a/serviceaccounts/slipway-model-cv",
    ]


def test_outages_are_survived_and_nothing_is_deleted(api):
    said, registry, clock = [], Registry(cv=1), Clock()
    follow = follower(registry, Followed(name="cv"), said=said, clock=clock)
    follow.round()
    registry.down = True
    looks = []
    for _ in range(200):
        clock.now += 30
        before = len(said)
        follow.round()
        looks.append(len(said) > before)
    assert served(api, "cv") == "1"
    assert "MLflow does not answer; nothing is changed, next look in at most 300 s" in said[-1]
    api.refuse = (503, "leader is being elected")
    registry.down, clock.now = False, clock.now + 300
    follow.round()
    assert "refused: 503 leader is being elected" in said[-1]
    api.refuse, clock.now = None, clock.now + 300
    registry.versions["cv@champion"] = release("cv", 2)
    follow.round()
    assert served(api, "cv") == "2"
    assert not [1 for method, _ in api.requests if method == "DELETE"]


def test_while_it_fails_it_asks_less_and_less_often(api):
    asked, clock = [], Clock()

    def resolve(spec):
        asked.append(clock.now)
        raise TrackingError("down")

    follow = follower(Registry(), Followed(name="cv"), said=[], resolve=resolve, clock=clock)
    while clock.now < 3600:
        follow.round()
        clock.now += 5
    gaps = [b - a for a, b in pairwise(asked)]
    assert gaps[0] <= 35
    assert 150 <= max(gaps) <= 305
    assert len(asked) < 40


def test_one_model_that_fails_keeps_no_other_from_moving(api):
    said, registry = [], Registry(cv=1, nlp=1)
    api.put("InferenceService", TEAM, "cv", spec={}, metadata={"labels": {"app.kubernetes.io/managed-by": "Helm"}})
    follower(registry, Followed(name="cv"), Followed(name="nlp"), said=said).round()
    assert served(api, "nlp") == "1"
    assert any("cv: InferenceService team-a/cv: was not made by slipway" in line for line in said)


def test_route_is_made_and_kept(api):
    said, registry = [], Registry(cv=1)
    follow = follower(registry, Followed(name="cv"), said=said, gateway=GATEWAY)
    follow.round()
    follow.round()
    assert api.get("HTTPRoute", "cv")["spec"]["hostnames"] == ["cv.team-a.models.example"]
    assert changes(api) == ["cv", "cv"]  # the route, the service


def test_rollout_under_way_is_waited_for_and_what_it_leaves_followed_at_once(api):
    said, registry, clock = [], Registry(cv=1), Clock()
    follow = follower(registry, Followed(name="cv"), said=said, gateway=GATEWAY, clock=clock)
    follow.round()
    rollout = Rollout(Kube(), "cv", TEAM, say=said.append, poll_s=0, sleep=lambda _: None)
    rollout.start(release("cv", 2), weight=20)
    registry.versions["cv@champion"] = release("cv", 3)
    for _ in range(20):
        clock.now += 30
        follow.round()
    assert served(api, "cv") == "1"
    waited = [line for line in said if "left alone until then" in line]
    assert len(waited) == 1
    assert "cv: team-a/cv: a canary runs: version 2, 20 %; end it first: slipway rollout promote cv, or abort" in waited[0]
    rollout.abort()
    clock.now += 30
    follow.round()
    assert served(api, "cv") == "3"


def test_account_that_reads_this_model_alone_is_used_where_there_is_one(api):
    api.put("ServiceAccount", TEAM, "slipway-model-cv")
    follower(Registry(cv=1, nlp=1), Followed(name="cv"), Followed(name="nlp"), said=[]).round()
    accounts = {n: api.get("InferenceService", n)["spec"]["predictor"]["serviceAccountName"] for n in ("cv", "nlp")}
    assert accounts == {"cv": "slipway-model-cv", "nlp": "slipway-models"}


def test_sizes_that_were_set_by_hand_stay(api):
    uri, digest = release("cv", 1).uri, release("cv", 1).digest
    by_hand = inference_service(
        name="cv", release_uri=uri, namespace=TEAM, digest=digest, version="1", min_replicas=5, max_replicas=9, cpu="2"
    )
    api.put("InferenceService", TEAM, "cv", metadata=by_hand["metadata"], spec=by_hand["spec"])
    follower(Registry(cv=2), Followed(name="cv"), said=[]).round()
    predictor = api.get("InferenceService", "cv")["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["model"]["resources"]["requests"]["cpu"]) == (5, "2")
    assert served(api, "cv") == "2"


def test_heartbeat_is_written_in_outages_too(api, tmp_path):
    registry = Registry(cv=1)
    registry.down = True
    follower(registry, Followed(name="cv"), said=[], heartbeat=tmp_path / "beat").round()
    assert abs(time.time() - float((tmp_path / "beat").read_text())) < 60


def test_run_ends_when_it_is_told_to(api):
    stop, said = Event(), []
    follow = follower(Registry(cv=1), Followed(name="cv"), said=said, interval_s=0.01)
    stop.set()
    follow.run(stop)
    assert said == ["following cv@champion, every 0.01 s", "stopped"]


@pytest.mark.parametrize(
    ("models", "more", "said"),
    [
        ([], {}, "no model to follow"),
        ([Followed(name="cv"), Followed(name="cv", alias="challenger")], {}, "'cv' is named twice"),
        ([Followed(name="cv")], {"interval_s": 0.0}, "must be above 0"),
    ],
)
def test_what_cannot_be_followed_is_refused(models, more, said):
    with pytest.raises(ConfigError, match=said):
        follower(Registry(), *models, said=[], **more)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{name: cv}", ": must be a list"),
        ("- {name: cv}\n- cv", r"\[1\]: must be a table of names and values, got 'cv'"),
        ("- {alias: champion}", r"\[0\]: name is missing"),
        ("- {name: ''}", "its name is empty"),
        ("- {name: cv, replicas: 2}", r"\[0\]: unknown 'replicas'; did you mean 'min_replicas'"),
    ],
)
def test_a_file_that_is_no_list_of_models_is_refused(tmp_path, content, says):
    path = tmp_path / "follow.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=says):
        _of_file(path)


def test_command_follows_until_sigterm(api, tmp_path):
    beat = tmp_path / "beat"
    entries = tmp_path / "follow.yaml"
    entries.write_text("- {name: cv, alias: champion, min_replicas: 2}\n")
    command = [
        sys.executable,
        "-c",
        "from slipway.cli import main; main()",
        "deploy",
        "--file",
        str(entries),
        "--watch",
        "--interval",
        "0.2",
        "-n",
        TEAM,
    ]
    env = os.environ | {
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
        "SLIPWAY_HOME": str(tmp_path / "home"),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }
    child = subprocess.Popen([*command, "--heartbeat", str(beat)], env=env, stderr=subprocess.PIPE, text=True)
    try:
        lines = [child.stderr.readline() for _ in range(2)]
        assert lines[0] == "following cv@champion, every 0.2 s\n"
        assert lines[1].startswith("cv: http://127.0.0.1:9: MLflow does not answer")
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
        assert beat.exists()
    finally:
        child.kill()
        child.communicate()
