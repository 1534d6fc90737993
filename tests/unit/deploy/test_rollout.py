"""Rollouts against a real HTTP server that keeps the objects: every step, and every step after a kill at any point."""

import pytest

from slipway.deploy import objects, rollout_record
from slipway.deploy.kube import Kube
from slipway.deploy.rollout import Rollout
from slipway.deploy.route import Gateway, canary_percent
from slipway.deploy.service import Release, Sizes, deploy, release_of
from slipway.errors import ClusterError, ConflictError, NotFoundError
from tests.helpers.kserve_api import KServeApi
from tests.helpers.kube_server import status

TEAM = "team-a"
GATEWAY = Gateway(namespace="infra", name="gw", domain="models.example")


def release(version):
    digest = f"{version:064x}"
    return Release(model="cv", version=str(version), uri=f"s3://slipway/teams/a/models/cv/{digest}", digest=digest)


class Killed(BaseException):
    """As if the process had been killed there."""


class Fragile(Kube):
    """Dies before or after its n-th change."""

    def __init__(self, at=None, after=False):
        super().__init__()
        self.at, self.after, self.changes = at, after, 0

    def change(self, action):
        """Counts, and dies where it is told to."""
        dies = self.changes == self.at
        self.changes += 1
        if dies and not self.after:
            raise Killed
        result = action()
        if dies:
            raise Killed
        return result

    def call(self, method, *args, **more):
        if method == "GET":
            return super().call(method, *args, **more)
        return self.change(lambda: super(Fragile, self).call(method, *args, **more))


class World:
    """A cluster with a served model, a registry's alias, and a hand on both."""

    def __init__(self, api):
        self.api, self.aliases, self.said = api, [], []
        deploy(Kube(), release(1), TEAM, sizes=Sizes(min_replicas=2, max_replicas=4), gateway=GATEWAY, poll_s=0)

    def rollout(self, kube=None, **more):
        options = {"say": self.said.append, "timeout_s": 2, "poll_s": 0, "sleep": lambda _: self.check()} | more
        return Rollout(kube or Kube(), "cv", TEAM, **options)

    def start(self, kube=None, version=2, weight=20):
        self.rollout(kube).start(release(version), weight=weight)

    def promote(self, kube=None):
        kube = kube or Fragile()
        return self.rollout(kube).promote(lambda r: kube.change(lambda: self.aliases.append(r.version)))

    def abort(self, kube=None):
        self.rollout(kube).abort()

    def state(self):
        """What can be seen from outside: versions and shares."""
        stable, canary, route = (
            self.api.get(*o) for o in (("InferenceService", "cv"), ("InferenceService", "cv-canary"), ("HTTPRoute", "cv"))
        )
        return {
            "stable": release_of(stable).version,
            "canary": canary and release_of(canary).version,
            "share": canary_percent(route),
            "phase": getattr(rollout_record.of(route), "phase", ""),
            "champion": (self.aliases or ["1"])[-1],
        }

    def check(self):
        """What must hold at every moment, or a request is lost."""
        services = [o for o in self.api.objects.values() if o["kind"] == "InferenceService"]
        names = {s["metadata"]["name"] for s in services}
        assert {"cv"} <= names <= {"cv", "cv-canary"}
        for rule in self.api.get("HTTPRoute", "cv")["spec"]["rules"]:
            assert sum(b["weight"] for b in rule["backendRefs"]) == 100
            assert {b["name"].removesuffix("-predictor") for b in rule["backendRefs"]} <= names


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    def start(**options):
        stop()
        api = KServeApi(**options)
        api.__enter__()
        apis.append(api)
        monkeypatch.setattr(
            "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(api.kubeconfig(tmp_path / "kubeconfig"))
        )
        return World(api)

    def stop():
        while apis:
            apis.pop().__exit__(None, None, None)

    apis = []
    yield start
    stop()


@pytest.fixture
def world(cluster):
    return cluster(rolling=1)


def test_canary_is_promoted(world):
    world.start(weight=20)
    assert world.state() == {"stable": "1", "canary": "2", "share": 20, "phase": "canary", "champion": "1"}
    canary = world.api.get("InferenceService", "cv-canary")
    assert canary["metadata"]["labels"]["slipway.model"] == "cv"
    assert canary["spec"]["predictor"]["model"]["readinessProbe"]["httpGet"]["path"] == "/v2/models/cv/ready"
    world.rollout().set_weight(50)
    assert world.state()["share"] == 50
    assert world.promote() == release(2)
    assert world.state() == {"stable": "2", "canary": None, "share": 0, "phase": "promoted", "champion": "2"}
    predictor = world.api.get("InferenceService", "cv")["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 4)
    assert world.said[-1] == f"cv version 2 ({release(2).digest[:12]}): promoted, all requests go to it"


def test_canary_is_aborted(world):
    world.start()
    world.abort()
    assert world.state() == {"stable": "1", "canary": None, "share": 0, "phase": "aborted", "champion": "1"}
    world.start(version=3)
    assert world.state()["canary"] == "3"


def test_canary_gets_requests_only_once_it_is_ready(cluster):
    world = cluster()
    waiting = status(("PredictorReady", "False", "", "no pod yet"), ("Ready", "False", "", ""))
    world.api.states = [waiting]
    with pytest.raises(ClusterError, match="cv-canary not Ready after 0 s: PredictorReady is False: no pod yet"):
        world.rollout(timeout_s=0.05).start(release(2), weight=20)
    assert world.state()["share"] == 0
    for act in (world.promote, lambda: world.rollout().set_weight(5)):
        with pytest.raises(
            ConflictError, match=r"needs a canary that is Ready, but it is not \(PredictorReady is False: no pod yet"
        ):
            act()
    assert world.state()["share"] == 0
    world.api.states = []
    world.start()
    assert world.state()["share"] == 20


def test_promotion_waits_until_every_pod_is_new(cluster):
    world = cluster(rolling=3)
    world.start()
    world.said.clear()
    world.promote()
    waited = world.said.index("team-a/cv: its Deployment is not updated yet")
    assert waited < world.said.index(f"cv version 2 ({release(2).digest[:12]}): champion in the registry")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("act", ["start", "promote", "abort"])
def test_killed_at_any_change_it_goes_on_when_repeated(cluster, act, after):
    def fresh():
        world = cluster()
        if act != "start":
            world.start()
        return world

    whole = fresh()
    counted = Fragile()
    getattr(whole, act)(counted)
    wanted = whole.state()
    assert counted.changes >= 3
    for at in range(counted.changes):
        world = fresh()
        with pytest.raises(Killed):
            getattr(world, act)(Fragile(at, after))
        world.check()
        getattr(world, act)()
        assert world.state() == wanted, f"killed {'after' if after else 'before'} change {at}"
        assert set(world.aliases) <= {"2"}


@pytest.mark.parametrize("at", range(4))
def test_promotion_that_was_killed_can_be_aborted_until_the_alias_moves(cluster, at):
    world = cluster()
    world.start()
    with pytest.raises(Killed):
        world.promote(Fragile(at))
    if world.state()["phase"] == "finishing":
        with pytest.raises(ConflictError, match="promoted, but for its canary's end; go on with slipway rollout promote"):
            world.abort()
        return
    world.abort()
    assert world.state() == {"stable": "1", "canary": None, "share": 0, "phase": "aborted", "champion": "1"}
    assert at < 3


def test_repeated_commands_do_nothing_more(world):
    world.start()
    world.start()
    world.promote()
    world.promote()
    assert world.aliases == ["2"]
    assert world.said[-1] == "cv: version 2 was promoted already, and serves"
    world.start(version=3)
    world.abort()
    world.abort()
    assert world.said[-1] == "cv: the canary of version 3 was aborted already"


def test_there_are_never_two_canaries(world):
    world.start(version=2)
    with pytest.raises(ConflictError, match="a canary runs: version 2, 20 %; promote or abort it first"):
        world.start(version=3)
    assert world.state()["canary"] == "2"


def test_of_two_commands_at_once_one_is_refused(world, monkeypatch):
    mine, other = world.rollout(), world.rollout()
    seen = mine._look()
    other.start(release(3), weight=10)
    looks = iter([seen])
    monkeypatch.setattr(mine, "_look", lambda: next(looks, None) or Rollout._look(mine))
    with pytest.raises(ConflictError, match="another command was quicker"):
        mine.start(release(2), weight=20)
    assert world.state()["canary"] == "3"


def test_status_written_by_the_gateway_is_no_conflict(world, monkeypatch):
    apply, met = objects.apply, []

    def meanwhile(kube, wanted):
        if wanted["kind"] == "HTTPRoute" and not met:
            met.append(wanted)
            world.api.get("HTTPRoute", "cv")["metadata"]["resourceVersion"] = "999"
        return apply(kube, wanted)

    monkeypatch.setattr(objects, "apply", meanwhile)
    world.start()
    assert len(met) == 1
    assert world.state()["share"] == 20


def test_what_serves_already_is_refused(world):
    with pytest.raises(ConflictError, match=r"version 1 is what serves already \(000000000000\)"):
        world.start(version=1)


def test_without_a_rollout_there_is_nothing_to_promote_or_abort(world):
    for act in (world.promote, world.abort, lambda: world.rollout().set_weight(5)):
        with pytest.raises(ConflictError, match="no rollout is under way"):
            act()


def test_model_without_service_or_route_is_told_what_to_do(cluster):
    world = cluster()
    world.api.objects = {p: o for p, o in world.api.objects.items() if o["kind"] != "HTTPRoute"}
    with pytest.raises(NotFoundError, match="has no HTTPRoute to divide requests by; slipway deploy cv --gateway"):
        world.start()
    world.api.objects.clear()
    with pytest.raises(NotFoundError, match="is not served yet; slipway deploy cv"):
        world.start()


@pytest.mark.parametrize("kind", ["InferenceService", "HTTPRoute"])
def test_what_a_helm_release_owns_is_left_alone(world, kind):
    meta = world.api.get(kind, "cv")["metadata"]
    meta["labels"]["app.kubernetes.io/managed-by"] = "Helm"
    meta["annotations"] = {**meta.get("annotations", {}), "meta.helm.sh/release-name": "models"}
    with pytest.raises(ConflictError, match=f"{kind} team-a/cv: belongs to the Helm release 'models'; change its values"):
        world.start()
    with pytest.raises(ConflictError, match="belongs to the Helm release"):
        deploy(Kube(), release(2), TEAM)


def test_deploy_leaves_a_model_alone_while_its_rollout_is_under_way(world):
    world.start()
    with pytest.raises(ConflictError, match="a canary runs: version 2, 20 %; end it first"):
        deploy(Kube(), release(3), TEAM)
    world.promote()
    deploy(Kube(), release(3), TEAM, gateway=GATEWAY, poll_s=0)
    assert world.state()["stable"] == "3"
    assert world.state()["phase"] == "promoted"


def test_route_that_no_gateway_takes_up_keeps_the_canary(cluster, monkeypatch):
    monkeypatch.setattr("slipway.deploy.rollout.GATEWAY_S", 0)
    world = cluster(gateway=False)
    world.start()
    with pytest.raises(ClusterError, match="no gateway took it up within 0 s"):
        world.abort()
    assert world.state()["canary"] == "2"
    world.api.gateway = True
    world.abort()
    assert world.state()["canary"] is None


def test_status_tells_versions_shares_and_reasons(world):
    world.start(weight=30)
    told = world.rollout().status()
    assert {role: (told[role]["version"], told[role]["weight"], told[role]["state"]) for role in ("stable", "canary")} == {
        "stable": ("1", 70, "ready"),
        "canary": ("2", 30, "ready"),
    }
    assert (told["phase"], told["rollout"]) == ("canary", "a canary runs: version 2, 30 %")
