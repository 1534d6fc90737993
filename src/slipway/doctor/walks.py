"""The four walks, each a table of links in the order they rest on each other."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from slipway.deploy.kube import Kube
from slipway.doctor import api, cluster, credentials, dialects, endpoint, platform, pods, run, served, store
from slipway.doctor.cluster import Cluster
from slipway.doctor.endpoint import Endpoint
from slipway.doctor.run import Run
from slipway.doctor.store import Place
from slipway.doctor.walk import Finding, Link, follow
from slipway.errors import ClusterError, ConfigError, unknown
from slipway.settings import Settings

ENDPOINT: tuple[Link[Endpoint], ...] = (
    Link("API server", api.answers),
    Link("KServe's type", api.kserve),
    Link("namespace", endpoint.namespace),
    Link("webhook", endpoint.webhook),
    Link("InferenceService", endpoint.exists, needed=True),
    Link("runtime", endpoint.runtime),
    Link("service account", credentials.account),
    Link("its secret", credentials.secret),
    Link("release in the store", credentials.release),
    Link("controller", endpoint.reconciled, needed=True),
    Link("pods admitted", endpoint.replicas),
    Link("pods scheduled", endpoint.of_pods(pods.scheduled)),
    Link("image", endpoint.of_pods(pods.pulled)),
    Link("configuration", endpoint.of_pods(pods.configured)),
    Link("download", endpoint.of_pods(pods.initialised)),
    Link("server", endpoint.of_pods(pods.started)),
    Link("service", served.addressed),
    Link("route and gateway", served.routed),
    Link("condition Ready", served.ready),
    Link("answers", served.answers),
    Link("digest", served.digest),
)
STORE: tuple[Link[Place], ...] = (
    Link("configuration", store.configured),
    Link("KServe's secrets", dialects.kserve, alone=True),
    Link("KFP's launcher", dialects.launcher, alone=True),
    Link("credential", store.secret),
    Link("server and clock", store.reachable),
    Link("list", store.listed),
    Link("write", store.written),
    Link("read", store.read_back, alone=True),  # the object goes all the same
    Link("delete", store.removed),
    Link("room", store.room),
)
RUN: tuple[Link[Run], ...] = (
    Link("record", run.recorded),
    Link("KFP", run.known),
    Link("pods scheduled", run.of_waiting(pods.scheduled)),
    Link("image", run.of_waiting(pods.pulled)),
    Link("configuration", run.of_waiting(pods.configured)),
    Link("containers", run.ran),
    Link("KFP's steps and logs", run.told),
    Link("outcome", run.ended),
)
CLUSTER: tuple[Link[Cluster], ...] = (
    Link("API server", api.answers),
    Link("types", cluster.types, alone=True),
    Link("controllers", cluster.controllers, alone=True),
    Link("webhooks", cluster.webhooks, alone=True),
    Link("storage class", cluster.storage, alone=True),
    Link("gateways", cluster.gateways, alone=True),
    Link("pod security", cluster.pod_security, alone=True),
    Link("model download", cluster.downloads, alone=True),
    Link("quotas", cluster.quotas, alone=True),
    Link("Prometheus rules", platform.rules, alone=True),
    Link("MLflow", platform.mlflow, alone=True),
    Link("object store", platform.store, alone=True),
    Link("Kubeflow Pipelines", platform.pipelines, alone=True),
)
WHAT = ("cluster", "store", "run", "endpoint")
NAMED = {"run": "RUN", "endpoint": "NAME"}


def walk(what: str, name: str, *, namespace: str, context: str, settings: Settings) -> Iterator[tuple[str, Finding]]:
    """Name and finding of each link, as it is looked at.

    Args:
        what: one of WHAT.
        name: run id or InferenceService; empty for the others.
        namespace: empty: the context's; of `store`, this machine's own settings; of `cluster`, every team's.
        context: of the kubeconfig; empty: its current one.
    Raises: ConfigError: an unknown `what`, a name too many or too few.
    """
    if what not in WHAT:
        raise ConfigError(unknown("doctor", what, WHAT))
    if bool(name) != (what in NAMED):
        wants = f"doctor {what} {NAMED[what]}" if what in NAMED else f"doctor {what}, without a name"
        raise ConfigError(f"doctor {what}: got '{name}'; write slipway {wants}")
    if what == "run":
        kube = None
        with suppress(ClusterError):
            kube = Kube(context)
        where = namespace or settings.kfp_namespace or (kube.namespace if kube else "")
        return follow(RUN, Run(name, settings, kube if settings.kfp_host or namespace or context else None, where))
    if what == "store" and not namespace:
        return follow(STORE, Place(settings, None))
    try:
        kube = Kube(context)
    except ClusterError as exc:
        tables: dict[str, Sequence[Link[Any]]] = {"store": STORE, "cluster": CLUSTER, "endpoint": ENDPOINT}
        return _without_cluster(tables[what], exc)
    if what == "store":
        return follow(STORE, Place(settings, kube, namespace))
    if what == "cluster":
        return follow(CLUSTER, Cluster(kube, namespace, settings))
    return follow(ENDPOINT, Endpoint(kube, namespace or kube.namespace, name, settings))


def _without_cluster(links: Sequence[Link[Any]], why: ClusterError) -> Iterator[tuple[str, Finding]]:
    def check(_: None) -> Finding:
        raise why

    return follow([Link(links[0].name, check), *links[1:]], None)
