"""A release as the service of its model: the InferenceService with the sizes it has, and its route."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from slipway.deploy import objects, rollout_record
from slipway.deploy.apply import apply_and_wait
from slipway.deploy.kube import Kube
from slipway.deploy.manifest import (
    DIGEST,
    MODEL,
    RELEASE_DIGEST,
    SERVICE_ACCOUNT,
    VERSION,
    Role,
    check_names,
    inference_service,
    object_name,
    own_account,
)
from slipway.deploy.route import Gateway, http_route
from slipway.errors import ConflictError


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """What is served: a registered release of a model."""

    model: str
    version: str
    """Of the registry; where it is in none, the start of the digest."""
    uri: str
    digest: str
    """SHA-256 hex."""

    def __str__(self) -> str:
        return f"{self.model} version {self.version} ({self.digest[:12]})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much a model gets. None: what the service has, and the manifest's default where there is none yet."""

    min_replicas: int | None = None
    """Pods there are always, at least 1."""
    max_replicas: int | None = None
    """Pods that load may bring."""
    scale_target: int | None = None
    """Percent of the CPU request at which another pod comes, 1 to 100."""
    cpu: str | None = None
    """Request of a pod, such as 500m."""
    memory: str | None = None
    """Request and limit of a pod, such as 1Gi."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What serves a release, beside what there is now."""

    service: dict[str, Any]
    """The InferenceService to apply."""
    route: dict[str, Any] | None
    """The HTTPRoute to apply; None where no gateway is given."""
    service_now: dict[str, Any] | None
    route_now: dict[str, Any] | None


def release_of(service: Mapping[str, Any]) -> Release:
    """What an InferenceService of ours serves."""
    meta = service["metadata"]
    labels = meta.get("labels") or {}
    digest = (meta.get("annotations") or {}).get(RELEASE_DIGEST, "")
    return Release(
        model=labels.get(MODEL, meta["name"]),
        version=labels.get(VERSION, ""),
        uri=service["spec"]["predictor"]["model"].get("storageUri", ""),
        digest=digest or labels.get(DIGEST, ""),
    )


def sizes_of(service: Mapping[str, Any]) -> Sizes:
    """What an InferenceService gives its pods."""
    predictor = service["spec"]["predictor"]
    requests = (predictor["model"].get("resources") or {}).get("requests") or {}
    return Sizes(
        min_replicas=predictor.get("minReplicas"),
        max_replicas=predictor.get("maxReplicas"),
        scale_target=predictor.get("scaleTarget"),
        cpu=requests.get("cpu"),
        memory=requests.get("memory"),
    )


def deploy(
    kube: Kube,
    release: Release,
    namespace: str,
    *,
    sizes: Sizes | None = None,
    image: str = "",
    gateway: Gateway | None = None,
    timeout_s: float = 600,
    poll_s: float = 1,
    progress: Callable[[str], None] | None = None,
) -> str:
    """Serve a release as the stable one of its model, and wait until all of its pods do. Again: nothing happens.

    Args:
        image: the server's, by digest; empty means the runtime's own.
        gateway: gives the model a route, or moves the one it has; None leaves it as it is.
    Returns: the URL under which other pods reach it.
    Raises:
        ConflictError: the service belongs to somebody else, or a rollout is under way.
        ClusterError: see `apply_and_wait`.
    """
    plan = planned(kube, release, namespace, sizes=sizes, image=image, gateway=gateway)
    if plan.route is not None:
        objects.apply(kube, plan.route)
    return apply_and_wait(plan.service, kube=kube, timeout_s=timeout_s, poll_s=poll_s, progress=progress)


def planned(
    kube: Kube,
    release: Release,
    namespace: str,
    *,
    sizes: Sizes | None = None,
    image: str = "",
    gateway: Gateway | None = None,
) -> Plan:
    """What is to be applied, from one look at each object there is. Raises: see `deploy`."""
    name = release.model
    check_names(name, namespace)
    service = find(kube, name, namespace, "stable")
    objects.must_be_ours(service)
    route = objects.find(kube, "HTTPRoute", namespace, name)
    record = rollout_record.of(route)
    if record is not None and record.under_way:
        raise ConflictError(f"{namespace}/{name}: {record}; end it first: slipway rollout promote {name}, or abort")
    if route is not None and not _made_by_kserve(route):
        objects.must_be_ours(route)
    annotations = record.annotations() if record else None
    wanted = http_route(name, namespace, gateway, annotations=annotations) if gateway else None
    return Plan(
        service=service_of(kube, release, namespace, current=service, sizes=sizes, image=image),
        route=wanted,
        service_now=service,
        route_now=route,
    )


def service_of(
    kube: Kube,
    release: Release,
    namespace: str,
    *,
    role: Role = "stable",
    current: Mapping[str, Any] | None,
    sizes: Sizes | None = None,
    image: str = "",
) -> dict[str, Any]:
    """The InferenceService of a release in a role.

    Args:
        current: whose sizes are kept where `sizes` says nothing.
    """
    chosen = {**_given(sizes_of(current) if current else None), **_given(sizes)}
    account = service_account(kube, namespace, release.model)
    return rendered(release, namespace, role=role, service_account=account, image=image, **chosen)


def rendered(release: Release, namespace: str, **options: Any) -> dict[str, Any]:
    """The InferenceService of a release, without a look at a cluster; `options` are those of `inference_service`."""
    return inference_service(
        name=release.model,
        release_uri=release.uri,
        namespace=namespace,
        digest=release.digest,
        version=release.version if release.version != release.digest[:12] else "",
        **options,
    )


def find(kube: Kube, model: str, namespace: str, role: Role) -> dict[str, Any] | None:
    """The InferenceService of a model in a role. Raises: ClusterError: no answer, or a refusal."""
    return objects.find(kube, "InferenceService", namespace, object_name(model, role))


def service_account(kube: Kube, namespace: str, model: str) -> str:
    """The account that reads this model alone, where the team has one; else the one that reads all of them."""
    own = own_account(model)
    return own if objects.find(kube, "ServiceAccount", namespace, own) else SERVICE_ACCOUNT


def _given(sizes: Sizes | None) -> dict[str, Any]:
    values = {field.name: getattr(sizes, field.name, None) for field in fields(Sizes)}
    return {name: value for name, value in values.items() if value is not None}


def _made_by_kserve(route: Mapping[str, Any]) -> bool:
    """KServe made routes of this name before ours did; it leaves them alone by now."""
    return any(owner.get("kind") == "InferenceService" for owner in route["metadata"].get("ownerReferences") or [])
