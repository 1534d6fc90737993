"""Objects as a cluster has them once a model of ours is served: what the charts make, and what KServe and Kubernetes add."""

import base64
from copy import deepcopy
from typing import Any

from slipway.deploy.manifest import inference_service
from tests.helpers.kube_server import status

NAMESPACE, MODEL = "team-a", "cv-digits"
POD, HASH = f"{MODEL}-predictor-6d5c-x1", "6d5c"
IMAGE = "registry.example/slipway-serve:0.1.0"


def obj(kind: str, name: str, *, api: str = "v1", namespace: str = NAMESPACE, **more: Any) -> dict[str, Any]:
    """An object; `meta` is merged into its metadata."""
    meta = {"name": name, **({"namespace": namespace} if namespace else {}), **more.pop("meta", {})}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **more}


def endpoint(url: str, *, storage_uri: str = "pvc://models/cv-digits", digest: str = "ab" * 32) -> list[dict[str, Any]]:
    """A healthy endpoint: every object that stands behind an answer at `url`."""
    service = inference_service(
        name=MODEL, release_uri="s3://slipway/x", namespace=NAMESPACE, digest=digest, service_account="slipway-models"
    )
    service["spec"]["predictor"]["model"]["storageUri"] = storage_uri
    service["metadata"]["generation"] = 1
    service["status"] = status(("PredictorReady", "True", "", ""), ("Ready", "True", "", ""), url=url)
    backend = f"{MODEL}-predictor"
    labels = {"app": f"isvc.{backend}", "pod-template-hash": HASH}
    return deepcopy([
        obj("Namespace", NAMESPACE, namespace="", status={"phase": "Active"}),
        service,
        obj("ServingRuntime", "slipway-serve", api="serving.kserve.io/v1alpha1",
            spec={"supportedModelFormats": [{"name": "slipway"}], "containers": []}),
        obj("ServiceAccount", "slipway-models", secrets=[{"name": "slipway-models"}]),
        s3_secret("slipway-models", "slipway-minio.slipway.svc:9000"),
        obj("PersistentVolumeClaim", "models", status={"phase": "Bound"}),
        obj("Deployment", backend, api="apps/v1", meta={"uid": "d1"}, spec={"replicas": 1}, status={}),
        obj("ReplicaSet", f"{backend}-{HASH}", api="apps/v1", status={}, meta={
            "labels": {"pod-template-hash": HASH}, "ownerReferences": [{"uid": "d1"}],
            "annotations": {"deployment.kubernetes.io/revision": "1"}}),
        pod(POD, labels=labels),
        obj("Service", backend, spec={"selector": {"app": labels["app"]}, "ports": [{"port": 80, "targetPort": 8080}]}),
        obj("EndpointSlice", f"{backend}-1", api="discovery.k8s.io/v1",
            meta={"labels": {"kubernetes.io/service-name": backend}}, endpoints=[{"conditions": {"ready": True}}]),
        obj("Gateway", "gw", api="gateway.networking.k8s.io/v1", namespace="gateways", status={
            "addresses": [{"value": "10.0.0.1"}], "conditions": [{"type": "Programmed", "status": "True"}]}),
        obj("HTTPRoute", MODEL, api="gateway.networking.k8s.io/v1",
            spec={"parentRefs": [{"name": "gw", "namespace": "gateways"}], "rules": [{"backendRefs": [{"name": backend}]}]},
            status={"parents": [{"parentRef": {"name": "gw", "namespace": "gateways"}, "conditions": [
                {"type": "Accepted", "status": "True"}, {"type": "ResolvedRefs", "status": "True"}]}]}),
    ])  # fmt: skip


def pod(name: str, *, labels: dict[str, str], container: str = "kserve-container") -> dict[str, Any]:
    """A running pod whose init container has done its work."""
    done, runs = {"terminated": {"exitCode": 0, "reason": "Completed"}}, {"running": {}}
    return obj("Pod", name, meta={"labels": labels}, spec={
        "nodeName": "node-1", "containers": [{"name": container, "resources": {"limits": {"memory": "1Gi"}}}],
    }, status={
        "phase": "Running",
        "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}],
        "initContainerStatuses": [container_status("storage-initializer", done, image="storage-initializer", ready=True)],
        "containerStatuses": [container_status(container, runs, ready=True)],
    })  # fmt: skip


def container_status(
    name: str, state: Any, *, last: Any = None, image: str = IMAGE, ready: bool = False, restarts: int = 0
) -> Any:
    """Of a pod's status."""
    return {"name": name, "state": state, "lastState": last or {}, "image": image, "ready": ready, "restartCount": restarts}


def s3_secret(name: str, endpoint_: str, *, keys: tuple[str, str] = ("key", "secret"), https: str = "0") -> dict[str, Any]:
    """A Secret as KServe reads it."""
    values = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), keys, strict=True))
    notes = {"serving.kserve.io/s3-endpoint": endpoint_, "serving.kserve.io/s3-usehttps": https}
    return obj("Secret", name, meta={"annotations": notes}, data=encoded(values))


def encoded(values: dict[str, str]) -> dict[str, str]:
    """As a Secret's data."""
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}


def event(of: str, reason: str, message: str) -> dict[str, Any]:
    """About an object of that name."""
    when = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    return obj("Event", f"{of}.{reason}", meta=when, involvedObject={"name": of}, reason=reason, message=message)
