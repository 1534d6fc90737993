"""The store as four readers are told of it in a team's namespace: runs, KServe twice over, and KFP's launcher."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from slipway.deploy.kube import path
from slipway.deploy.manifest import SERVICE_ACCOUNT as MODELS
from slipway.deploy.manifest import own_account
from slipway.deploy.pod import RUN_CONFIG, S3_ENDPOINT, STORE_KEYS, STORE_SECRET
from slipway.doctor.credentials import decoded, endpoint_of, fields, role_of
from slipway.doctor.store import Place
from slipway.doctor.walk import BROKEN, Finding, broken, ok, skipped

LAUNCHER = "kfp-launcher"
"""ConfigMap of KFP's."""


def kserve(p: Place) -> Finding:
    """Secrets of predictors name the same server as the runs' ConfigMap."""
    if p.kube is None:
        return skipped("no namespace is given (--namespace)")
    found = [s for s in p.kube.list(path("v1", p.namespace, "secrets")) if _of_models(s["metadata"]["name"])]
    if MODELS not in [s["metadata"]["name"] for s in found]:
        if role := role_of(p.kube.find(path("v1", p.namespace, "serviceaccounts", MODELS))):
            return skipped(f"the account {MODELS} takes the role of its annotation {role}")
        return broken(f"there is no Secret '{MODELS}' in '{p.namespace}'", "charts/slipway-platform makes it for a team")
    for secret in found:
        if (finding := fields(p.kube, p.namespace, secret)).state == BROKEN:
            return finding
        if not _same(told := endpoint_of(secret), p.endpoint):
            return broken(
                f"Secret '{secret['metadata']['name']}' leads to {told}, ConfigMap '{RUN_CONFIG}' to {p.endpoint}",
                f"make the annotation {S3_ENDPOINT} agree",
            )
    return ok(", ".join(s["metadata"]["name"] for s in found))


def launcher(p: Place) -> Finding:
    """KFP's launcher writes to the same server and bucket, with a credential that is there."""
    import yaml

    if p.kube is None:
        return skipped("no namespace is given (--namespace)")
    found = p.kube.find(path("v1", p.namespace, "configmaps", LAUNCHER))
    if found is None:
        return skipped(f"no ConfigMap '{LAUNCHER}': no pipelines run in this namespace")
    data = found.get("data") or {}
    root = data.get("defaultPipelineRoot", "")
    bucket = p.uri.removeprefix("s3://").partition("/")[0]
    if not root.startswith(f"s3://{bucket}/"):
        return broken(
            f"ConfigMap '{LAUNCHER}': defaultPipelineRoot is '{root}', the store is {p.uri}", f"make it s3://{bucket}/…"
        )
    try:
        default = (yaml.safe_load(data.get("providers", "")) or {})["s3"]["default"]
    except (yaml.YAMLError, KeyError, TypeError):
        return broken(f"ConfigMap '{LAUNCHER}': providers has no s3.default", "charts/slipway-platform writes it")
    return _provider(p, default)


def _provider(p: Place, default: Mapping[str, Any]) -> Finding:
    plain = str(default.get("disableSSL", "")).lower() == "true"
    endpoint = str(default.get("endpoint", ""))
    if "://" not in endpoint:
        endpoint = f"{'http' if plain else 'https'}://{endpoint}"
    if not _same(endpoint, p.endpoint) or plain != p.endpoint.startswith("http://"):
        told = f"{endpoint}, disableSSL {str(plain).lower()}"
        return broken(
            f"ConfigMap '{LAUNCHER}' leads to {told}, ConfigMap '{RUN_CONFIG}' to {p.endpoint}",
            "make endpoint and disableSSL agree",
        )
    credentials = default.get("credentials") or {}
    if str(credentials.get("fromEnv", "")).lower() == "true":
        return ok(f"{endpoint}, credential of the environment")
    named = credentials.get("secretRef") or {}
    assert p.kube is not None
    secret = p.kube.find(path("v1", p.namespace, "secrets", str(named.get("secretName", "")) or "-"))
    keys = decoded(secret) if secret else {}
    for role, key in (("accessKeyKey", STORE_KEYS[0]), ("secretKeyKey", STORE_KEYS[1])):
        if not keys.get(str(named.get(role, ""))):
            return broken(
                f"ConfigMap '{LAUNCHER}': {role} '{named.get(role, '')}' is not in Secret '{named.get('secretName', '')}'",
                f"name Secret {STORE_SECRET} and its key {key}",
            )
    return ok(f"{endpoint}, Secret {named['secretName']}")


def _of_models(name: str) -> bool:
    return name == MODELS or name.startswith(own_account(""))


def _same(one: str, other: str) -> bool:
    """Whether two URLs lead to one server: in a cluster, a Service has several names."""
    a, b = urlsplit(one), urlsplit(other)
    return (a.scheme, a.port, _host(a.hostname)) == (b.scheme, b.port, _host(b.hostname))


def _host(name: str | None) -> str:
    host = (name or "").removesuffix(".")
    for suffix in (".svc.cluster.local", ".svc"):
        host = host.removesuffix(suffix)
    return host
