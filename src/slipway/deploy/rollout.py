"""A new release beside the stable one, step by step: start, set-weight, promote or abort; by hand, each step repeatable.

    start    canary applied ─▶ Ready ─▶ gets its share
    promote  stable service moved to the canary's release ─▶ all pods new ─▶ share 0 ─▶ alias moved ─▶ canary removed
    abort    share 0 ─▶ drained ─▶ canary removed

What has been done is on the cluster's objects (see `rollout_record`), so that a command that was killed goes on where it was
when it is given again. Every change is made only to the route as it was read: of two commands at once, one is refused.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from slipway.deploy import objects
from slipway.deploy import rollout_record as records
from slipway.deploy.apply import apply_and_wait, state_of
from slipway.deploy.kube import Kube
from slipway.deploy.manifest import DRAIN_DELAY_S, Role, check_names, object_name
from slipway.deploy.rollout_record import Record
from slipway.deploy.route import canary_percent, gateway_of, http_route
from slipway.deploy.service import Release, Sizes, find, release_of, service_of
from slipway.errors import ClusterError, ConflictError, NotFoundError

ROLES: tuple[Role, ...] = ("stable", "canary")
ATTEMPTS = 5
"""The gateway writes its status into the route, too: a write that only met that is tried again."""
GATEWAY_S = 60
"""Within which a gateway has taken up a route."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A model's objects as they are."""

    stable: dict[str, Any]
    canary: dict[str, Any] | None
    route: dict[str, Any]
    record: Record | None


class Rollout:
    """The rollouts of one model."""

    def __init__(
        self,
        kube: Kube,
        model: str,
        namespace: str,
        *,
        say: Callable[[str], None],
        image: str = "",
        timeout_s: float = 600,
        poll_s: float = 1,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """
        Args:
            say: told each state, one line.
            image: the canary's server, by digest; empty means the runtime's own.
            timeout_s: of each wait.
        Raises: ConfigError: a name that Kubernetes would refuse.
        """
        check_names(model, namespace)
        self._kube, self._model, self._namespace, self._image = kube, model, namespace, image
        self._say, self._timeout_s, self._poll_s, self._sleep = say, timeout_s, poll_s, sleep

    def start(self, release: Release, *, weight: int) -> None:
        """Run a release beside the stable one, and give it its share once it is Ready.

        Args:
            weight: percent of the requests, 0 to 100.
        Raises:
            ConflictError: it is what serves already; another rollout is under way; the service belongs to somebody else.
            NotFoundError: the model is not served yet, or has no route.
            ClusterError: not reachable, refused, or the canary not Ready in time: it stays, without requests.
        """
        seen = self._look()
        record = seen.record
        if record is None or not record.under_way:
            stable = release_of(seen.stable)
            if release.digest == stable.digest:
                raise ConflictError(f"{self._model}: version {release.version} is what serves already ({release.digest[:12]})")
            record = self._write(self._fresh(release, seen), was=record)
        elif record.phase != "canary":
            raise ConflictError(f"{self._model}: {record}; go on with it: slipway rollout {_verb(record)} {self._model}")
        elif record.digest != release.digest:
            raise ConflictError(f"{self._model}: {record}; promote or abort it first")
        sizes = Sizes(min_replicas=1)
        canary = service_of(
            self._kube, release, self._namespace, role="canary", current=seen.stable, sizes=sizes, image=self._image
        )
        self._apply(canary, f"{release}: canary")
        self._share(record, weight)

    def set_weight(self, weight: int) -> None:
        """Give the canary another share. Raises: ConflictError: there is none, or it is not Ready; else as `start`."""
        record = self._canary(self._look(), "set-weight")
        self._share(record, weight)

    def promote(self, move_alias: Callable[[Release], object]) -> Release:
        """Serve the canary's release as the stable one, and end the canary.

        Args:
            move_alias: makes it the champion in the registry; called at least once, before the canary goes.
        Returns: what was promoted.
        Raises:
            ConflictError: no rollout is under way, it is being aborted, or the canary is not Ready.
            ClusterError: not reachable, refused, or the new pods not ready in time: `abort` goes back, `promote` goes on.
        """
        seen = self._look()
        record = seen.record
        if record is not None and record.phase == "promoted":
            self._say(f"{self._model}: {record} already, and serves")
            return self._release(record)
        if record is None or record.phase not in ("promoting", "finishing"):
            canary = self._canary(seen, "promote")
            record = self._write(canary.moved("promoting"), was=canary)
        release = self._release(record)
        if record.phase == "promoting":
            self._move_stable(seen, release, record.image)
            record = self._write(record.moved("finishing", weight=0), was=record)
        move_alias(release)
        self._say(f"{release}: champion in the registry")
        self._end_canary()
        self._write(record.moved("promoted"), was=record)
        self._say(f"{release}: promoted, all requests go to it")
        return release

    def abort(self) -> None:
        """Take the canary away; where `promote` has begun, go back to the release before.

        Raises: ConflictError: no rollout is under way, or it is promoted already. ClusterError: as `promote`.
        """
        seen = self._look()
        record = seen.record
        if record is not None and record.phase == "aborted":
            self._say(f"{self._model}: {record} already")
            return
        if record is None or record.phase == "promoted":
            raise ConflictError(f"{self._model}: no rollout is under way; {release_of(seen.stable)} serves")
        if record.phase == "finishing":
            raise ConflictError(f"{self._model}: {record}; go on with slipway rollout promote {self._model}")
        if record.phase != "aborting":
            record = self._write(record.moved("aborting", weight=0), was=record)
            self._say(f"{self._model}: canary of version {record.version} gets no more requests")
        if release_of(seen.stable).digest != record.before_digest:
            before = Release(
                model=self._model, version=record.before_version, uri=record.before_uri, digest=record.before_digest
            )
            self._move_stable(seen, before, record.before_image)
        self._end_canary()
        self._write(record.moved("aborted"), was=record)
        self._say(f"{self._model}: canary of version {record.version} removed, version {record.before_version} serves")

    def status(self) -> dict[str, Any]:
        """What serves, with which share, and how far a rollout is. Raises: NotFoundError, ClusterError."""
        services = {role: find(self._kube, self._model, self._namespace, role) for role in ROLES}
        if services["stable"] is None:
            raise self._not_served()
        route = objects.find(self._kube, "HTTPRoute", self._namespace, self._model)
        record, share = records.of(route), canary_percent(route) if route else 0
        found: dict[str, Any] = {"model": self._model, "namespace": self._namespace}
        for role, service in services.items():
            if service is None:
                continue
            release = release_of(service)
            state, reason = state_of(self._kube, service)
            found[role] = {
                "version": release.version,
                "digest": release.digest,
                "weight": share if role == "canary" else 100 - share,
                "state": state,
                "reason": "" if state == "ready" else reason,
            }
        found["rollout"] = str(record) if record else "none yet"
        found["phase"] = record.phase if record else ""
        return found

    def _look(self) -> Seen:
        stable, canary = (find(self._kube, self._model, self._namespace, role) for role in ROLES)
        route = objects.find(self._kube, "HTTPRoute", self._namespace, self._model)
        if stable is None:
            raise self._not_served()
        for found in (stable, canary, route):
            objects.must_be_ours(found)
        if route is None:
            raise NotFoundError(
                f"{self._namespace}/{self._model}: has no HTTPRoute to divide requests by; "
                f"slipway deploy {self._model} --gateway NAMESPACE/NAME --domain DOMAIN makes it"
            )
        return Seen(stable, canary, route, records.of(route))

    def _not_served(self) -> NotFoundError:
        return NotFoundError(f"{self._namespace}/{self._model}: is not served yet; slipway deploy {self._model} does that")

    def _canary(self, seen: Seen, verb: str) -> Record:
        """The record of a canary that is Ready."""
        record = seen.record
        if record is None or not record.under_way:
            raise ConflictError(f"{self._model}: no rollout is under way; slipway rollout start {self._model} VERSION")
        if record.phase != "canary":
            raise ConflictError(f"{self._model}: {record}; go on with it: slipway rollout {_verb(record)} {self._model}")
        state, reason = ("waiting", "not there") if seen.canary is None else state_of(self._kube, seen.canary)
        if state != "ready":
            raise ConflictError(
                f"{self._model}: {verb} needs a canary that is Ready, but it is not ({reason}); repeat start, or abort"
            )
        return record

    def _share(self, record: Record, weight: int) -> None:
        self._write(record.moved("canary", weight=weight), was=record)
        self._say(f"{self._model}: canary version {record.version} gets {weight} % of the requests")

    def _move_stable(self, seen: Seen, release: Release, image: str) -> None:
        service = service_of(self._kube, release, self._namespace, current=seen.stable, image=image)
        self._apply(service, f"{release}: stable")

    def _apply(self, service: Mapping[str, Any], what: str) -> None:
        self._say(f"{what} is applied")
        apply_and_wait(service, kube=self._kube, timeout_s=self._timeout_s, poll_s=self._poll_s, progress=self._say)
        self._say(f"{what} is Ready")

    def _end_canary(self) -> None:
        """Once the gateway sends it nothing more, and what it has is answered: its pods drain as every pod of ours."""
        self._await_gateway()
        self._sleep(DRAIN_DELAY_S)
        name = object_name(self._model, "canary")
        objects.delete(
            self._kube, "InferenceService", self._namespace, name,
            timeout_s=self._timeout_s, poll_s=self._poll_s, sleep=self._sleep,
        )  # fmt: skip

    def _await_gateway(self) -> None:
        """Until a gateway has taken up the route as it is."""
        deadline = time.monotonic() + GATEWAY_S
        while True:
            route = objects.find(self._kube, "HTTPRoute", self._namespace, self._model) or {}
            wanted = route.get("metadata", {}).get("generation", 0)
            parents = (route.get("status") or {}).get("parents") or []
            conditions = [c for parent in parents for c in parent.get("conditions") or [] if c["type"] == "Accepted"]
            if any(c["status"] == "True" and c.get("observedGeneration", 0) >= wanted for c in conditions):
                return
            if time.monotonic() > deadline:
                said = "; ".join(c.get("message", "") for c in conditions) or "nobody has answered to it"
                where = f"{self._namespace}/{self._model}"
                raise ClusterError(f"HTTPRoute {where}: no gateway took it up within {GATEWAY_S} s ({said})")
            self._sleep(self._poll_s)

    def _write(self, record: Record, *, was: Record | None) -> Record:
        """Record and shares in one write, as long as the record is still what it `was`.

        Raises: ConflictError: another command was quicker.
        """
        for _ in range(ATTEMPTS):
            seen = self._look()
            if seen.record != was:
                break
            gateway = gateway_of(seen.route)
            wanted = http_route(
                self._model, self._namespace, gateway, canary_percent=record.weight, annotations=record.annotations()
            )
            wanted["metadata"]["resourceVersion"] = seen.route["metadata"]["resourceVersion"]
            try:
                objects.apply(self._kube, wanted)
                return record
            except ClusterError as exc:
                if exc.status != 409:
                    raise
        raise ConflictError(f"{self._model}: another command was quicker; see slipway rollout status {self._model}")

    def _fresh(self, release: Release, seen: Seen) -> Record:
        before = release_of(seen.stable)
        return Record(
            phase="canary",
            version=release.version,
            uri=release.uri,
            digest=release.digest,
            image=self._image,
            before_version=before.version,
            before_uri=before.uri,
            before_digest=before.digest,
            before_image=seen.stable["spec"]["predictor"]["model"].get("image", ""),
        )

    def _release(self, record: Record) -> Release:
        return Release(model=self._model, version=record.version, uri=record.uri, digest=record.digest)


def _verb(record: Record) -> str:
    return "abort" if record.phase == "aborting" else "promote"
