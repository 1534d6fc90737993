"""The servers that a platform runs: MLflow, the object store, Kubeflow Pipelines, Prometheus; each is really asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from slipway.deploy.kube import path
from slipway.deploy.pod import OURS, PART_OF, RUN_CONFIG
from slipway.deploy.reach import reach
from slipway.doctor.cluster import PLATFORM, Cluster
from slipway.doctor.objects import listed
from slipway.doctor.walk import Finding, broken, ok, skipped
from slipway.errors import ClusterError

if TYPE_CHECKING:
    import httpx

REQUEST_TIMEOUT_S = 10.0
MLFLOW_URL = f"http://slipway-mlflow.{PLATFORM}.svc:5000"
STORE_URL = f"http://slipway-minio.{PLATFORM}.svc:9000"
KFP_URL = "http://ml-pipeline.kubeflow.svc:8888"
RULES_LABEL = f"{PART_OF}={OURS}"
OPERATED = "operated-prometheus=true"
"""Label of the Service that the Prometheus operator makes for its servers."""
NEITHER = f"no team's ConfigMap {RUN_CONFIG} names one, and charts/slipway-platform is not installed"


def mlflow(c: Cluster) -> Finding:
    """MLflow answers under the very name that pods use: it refuses hosts that it was not told of."""
    said = []
    for url in _told(c, "MLFLOW_TRACKING_URI", MLFLOW_URL):
        with _client(c, url) as client:
            answer = client.get("/api/2.0/mlflow/experiments/search", params={"max_results": 1})
            version = client.get("/version")
        if answer.status_code == 403 and "host" in answer.text.lower():
            host = urlsplit(url).netloc
            return broken(
                f"MLflow at {url} refuses the host '{host}': {answer.text[:150]}",
                f"add {host} to mlflow.allowedHosts of charts/slipway-platform",
            )
        if not answer.is_success:
            return broken(f"MLflow at {url} answers {answer.status_code}: {answer.text[:150]}", "see the log of its pod")
        said.append(f"{url} {version.text[:20]}")
    return ok(", ".join(said)) if said else skipped(NEITHER)


def store(c: Cluster) -> Finding:
    """The object store answers; `doctor store` tries credentials."""
    said = []
    for url in _told(c, "AWS_ENDPOINT_URL", STORE_URL):
        with _client(c, url) as client:
            answer = client.get("/minio/health/ready")  # another S3 server answers 403 or 404 to it
        if answer.status_code >= 500:
            return broken(f"the store at {url} is not ready ({answer.status_code})", "see the log of its pod, and its volume")
        said.append(f"{url} {answer.headers.get('server', '')}")
    return ok(", ".join(said)) if said else skipped(NEITHER)


def pipelines(c: Cluster) -> Finding:
    """The KFP API answers."""
    url = c.settings.kfp_host.rstrip("/") or KFP_URL
    if not c.settings.kfp_host and not _service(c, KFP_URL):
        return skipped("SLIPWAY_KFP_HOST is not set, and there is no Service ml-pipeline in 'kubeflow'")
    with _client(c, url) as client:
        answer = client.get("/apis/v2beta1/healthz", follow_redirects=True)
    if not answer.is_success:
        return broken(f"KFP at {url} answers {answer.status_code}", "is it the KFP API? see the log of ml-pipeline")
    try:
        version = answer.json().get("tag_name") or "of unknown version"
    except ValueError:
        return broken(f"{url} answers, but is no KFP API: {answer.text[:100]}", "check SLIPWAY_KFP_HOST")
    return ok(f"{url} {version}")


def rules(c: Cluster) -> Finding:
    """Prometheus has loaded our rules."""
    wanted = {
        group["name"]
        for rule in c.kube.list(path("monitoring.coreos.com/v1", c.namespace, "prometheusrules"), labels=RULES_LABEL)
        for group in rule["spec"].get("groups") or []
    }
    services = c.kube.list(path("v1", "", "services"), labels=OPERATED)
    if not services:
        return skipped("no Prometheus of the operator's runs here")
    meta, port = services[0]["metadata"], services[0]["spec"]["ports"][0]["port"]
    url = f"http://{meta['name']}.{meta['namespace']}.svc:{port}"
    with _client(c, url) as client:
        version = client.get("/api/v1/status/buildinfo").json().get("data", {}).get("version", "")
        groups: list[Any] = client.get("/api/v1/rules").json().get("data", {}).get("groups", [])
    if not wanted:
        return skipped(f"Prometheus {version} runs; no PrometheusRule of ours is there ({RULES_LABEL})")
    if missing := wanted - {group["name"] for group in groups}:
        return broken(
            f"Prometheus at {url} has not loaded {listed(missing)}",
            "does its ruleSelector want a label? monitoring.labels of charts/slipway-platform",
        )
    failing = [
        f"{r['name']}: {r['lastError']}" for g in groups if g["name"] in wanted for r in g["rules"] if r.get("lastError")
    ]
    if failing:
        return broken(
            f"a rule of ours fails in Prometheus: {failing[0]}", "promtool check rules; is a recorded series missing?"
        )
    return ok(f"Prometheus {version}, groups {listed(wanted)}")


@contextmanager
def _client(c: Cluster, url: str) -> Iterator["httpx.Client"]:
    """A client that says the host that pods say. Raises: ClusterError: nothing answers it."""
    import httpx

    with reach(c.kube, url, namespace=c.namespace or PLATFORM) as base:
        client = httpx.Client(base_url=base, headers={"Host": urlsplit(url).netloc}, timeout=REQUEST_TIMEOUT_S, trust_env=False)
        try:
            with client:
                yield client
        except httpx.HTTPError as exc:
            said = str(exc) or type(exc).__name__
            raise ClusterError(f"{url} does not answer ({said}); see its pods: are they running and ready?") from exc


def _told(c: Cluster, key: str, ours: str) -> list[str]:
    """URLs that the teams' ConfigMaps have under `key`; else of our own server, where that is installed."""
    urls = {values[key] for values in c.teams.values() if values.get(key)}
    return sorted(urls) or ([ours] if _service(c, ours) else [])


def _service(c: Cluster, url: str) -> bool:
    name, namespace = (urlsplit(url).hostname or "").split(".")[:2]
    return c.kube.find(path("v1", namespace, "services", name)) is not None
