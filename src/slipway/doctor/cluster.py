"""`slipway doctor cluster`: what everybody's models and runs rest on. Most links stand alone: one broken hides no other."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from slipway.deploy import trainjob
from slipway.deploy.downloads import RESTRICTED, STORAGE, admitted
from slipway.deploy.kube import Kube, amount, path
from slipway.deploy.pod import RUN_CONFIG
from slipway.doctor import api
from slipway.doctor.objects import (
    ROUTES,
    RUNTIMES,
    annotations,
    condition,
    labels,
    listed,
    name_of,
    ready_ends,
    said_of,
)
from slipway.doctor.served import gateway_ready
from slipway.doctor.walk import Finding, broken, ok, skipped
from slipway.settings import Settings

PLATFORM = "slipway"
"""Namespace that charts/slipway-platform is meant for."""
SERVED: Mapping[str, tuple[str, str, str]] = {
    "Gateway API": (ROUTES, "httproutes", "outside traffic and canaries need it"),
    "Prometheus operator": ("monitoring.coreos.com/v1", "prometheusrules", "metrics and alerts need it"),
    "Kubeflow Trainer": (trainjob.API_VERSION, "trainjobs", "training on several machines needs it"),
    "Argo Workflows": ("argoproj.io/v1alpha1", "workflows", "Kubeflow Pipelines needs it"),
}
"""Beside KServe, which must be there: name -> group and version, a type of it, who needs it."""
CONTROLLERS: Mapping[str, str] = {
    "KServe": "control-plane=kserve-controller-manager",
    "Prometheus operator": "app.kubernetes.io/name=prometheus-operator",
    "Envoy Gateway": "control-plane=envoy-gateway",
    "Argo": "app=workflow-controller",
}
ENFORCE = "pod-security.kubernetes.io/enforce"


@dataclass
class Cluster:
    """A cluster, and of it the teams' namespaces."""

    kube: Kube
    namespace: str
    """Only this team; empty: all."""
    settings: Settings

    @cached_property
    def teams(self) -> Mapping[str, Mapping[str, str]]:
        """Namespace -> values of its ConfigMap RUN_CONFIG."""
        found = self.kube.list(path("v1", self.namespace, "configmaps"), fields=f"metadata.name={RUN_CONFIG}")
        return {c["metadata"]["namespace"]: dict(c.get("data") or {}) for c in found}

    @property
    def namespaces(self) -> list[str]:
        """Those of ours: the platform's and the teams'."""
        return sorted({*self.teams, *(() if self.namespace else (PLATFORM,))})


def types(c: Cluster) -> Finding:
    """KServe's types are known, and which others are."""
    if (kserve := api.kserve(c)).fix:
        return kserve
    missing, there = [], [f"KServe {kserve.said}"]
    for name, (group, plural, why) in SERVED.items():
        if api.knows(c.kube, group, plural):
            there.append(f"{name} {group}")
        else:
            missing.append(f"{name} ({why})")
    return ok(f"{', '.join(there)}{f'; not installed: {listed(missing)}' if missing else ''}")


def controllers(c: Cluster) -> Finding:
    """Controllers that are installed have as many ready pods as they want."""
    said = []
    for name, selector in CONTROLLERS.items():
        for found in c.kube.list(path("apps/v1", "", "deployments"), labels=selector):
            image = found["spec"]["template"]["spec"]["containers"][0]["image"]
            wanted, ready = found["spec"].get("replicas", 1), (found.get("status") or {}).get("readyReplicas", 0)
            ask, where = f"kubectl -n {found['metadata']['namespace']}", f"{name}: Deployment {name_of(found)}"
            if not wanted:
                again = f"{ask} scale deployment {found['metadata']['name']} --replicas=1"
                return broken(f"{where} is scaled to no pods", again)
            if ready < wanted:
                why = said_of(condition(found, "Available"))
                return broken(f"{where} has {ready} of {wanted} pods ready: {why}", f"{ask} get pods shows why")
            said.append(f"{name} {image.rpartition('/')[2]}")
    if not any(s.startswith("KServe") for s in said):
        return broken("there is no Deployment of KServe's controller", "install KServe: make cluster-install")
    return ok(", ".join(said))


def webhooks(c: Cluster) -> Finding:
    """Every admission webhook's Service has a ready pod: without, what it guards can be neither made nor changed."""
    services = sorted(set(_webhook_services(c)))
    for namespace, name, hook in services:
        if not ready_ends(c.kube, namespace, name)[0]:
            return broken(
                f"webhook {hook}: Service {namespace}/{name} has no ready pod",
                f"kubectl -n {namespace} get pods shows why; or remove the webhook's configuration, if its owner is gone",
            )
    return ok(f"{len({s[:2] for s in services})} Services ready")


def storage(c: Cluster) -> Finding:
    """There is a default storage class for MLflow's and MinIO's volumes."""
    classes = c.kube.list(path("storage.k8s.io/v1", "", "storageclasses"))
    mark = "storageclass.kubernetes.io/is-default-class"
    default = [s["metadata"]["name"] for s in classes if annotations(s).get(mark) == "true"]
    if not default:
        return broken(
            f"no storage class is the default; there are: {listed(s['metadata']['name'] for s in classes)}",
            f"annotate one with {mark}=true, or name one in the charts' values",
        )
    return ok(", ".join(default))


def gateways(c: Cluster) -> Finding:
    """Every gateway is programmed and has an address."""
    if c.kube.find(f"/apis/{ROUTES}") is None:
        return skipped("the Gateway API is not installed")
    found = c.kube.list(path(ROUTES, "", "gateways"))
    findings = [gateway_ready(g) for g in found]
    return next(
        (f for f in findings if f.fix), ok("; ".join(f.said for f in findings)) if findings else skipped("there is no Gateway")
    )


def pod_security(c: Cluster) -> Finding:
    """Our namespaces admit restricted pods only."""
    said = []
    for name in c.namespaces:
        found = c.kube.find(path("v1", "", "namespaces", name))
        if found is None:
            continue
        level = labels(found).get(ENFORCE)
        if level != "restricted":
            return broken(
                f"namespace '{name}' enforces {level or 'no pod security level'}",
                f"kubectl label --overwrite namespace {name} {ENFORCE}=restricted",
            )
        said.append(name)
    return ok(f"restricted: {', '.join(said)}") if said else skipped("there is no namespace of ours yet")


def downloads(c: Cluster) -> Finding:
    """KServe's container that fetches a model is one that restricted namespaces admit."""
    found = c.kube.find(path(RUNTIMES, "", "clusterstoragecontainers", STORAGE))
    if found is None:
        return skipped(f"KServe has no ClusterStorageContainer '{STORAGE}'")
    if not admitted(found):
        return broken(
            f"ClusterStorageContainer '{STORAGE}' sets no restricted securityContext: restricted namespaces refuse its pods",
            f"kubectl patch clusterstoragecontainer {STORAGE} --type merge -p '{json.dumps(RESTRICTED)}'",
        )
    return ok(found["spec"]["container"]["image"].rpartition("/")[2])


def quotas(c: Cluster) -> Finding:
    """No team has used up its quota."""
    said = []
    for name in c.namespaces:
        for quota in c.kube.list(path("v1", name, "resourcequotas")):
            hard, used = (quota.get("status") or {}).get("hard") or {}, (quota.get("status") or {}).get("used") or {}
            shares = {key: amount(used.get(key, "0")) / amount(value) for key, value in hard.items() if amount(value) > 0}
            if not shares:
                continue
            worst = max(shares, key=lambda key: shares[key])
            if shares[worst] >= 1:
                return broken(
                    f"ResourceQuota {name}/{quota['metadata']['name']}: {worst} is used up, {used[worst]} of {hard[worst]}",
                    "raise it in the team's values, or scale something down",
                )
            said.append(f"{name} {worst} {shares[worst]:.0%}")
    return ok(", ".join(said)) if said else skipped("no quota is set in our namespaces")


def _webhook_services(c: Cluster) -> Iterator[tuple[str, str, str]]:
    for plural in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations"):
        for configuration in c.kube.list(path("admissionregistration.k8s.io/v1", "", plural)):
            for hook in configuration.get("webhooks") or []:
                service: Any = hook["clientConfig"].get("service")
                if service:
                    yield service["namespace"], service["name"], hook["name"]
