"""`slipway doctor endpoint`: from KServe's type to an answer of the very release that the object names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from slipway.deploy.kube import Kube, path
from slipway.deploy.manifest import MODEL, RELEASE_DIGEST, inference_service, predictor
from slipway.doctor import api
from slipway.doctor.causes import REFUSED, advise
from slipway.doctor.objects import RUNTIMES, SERVING, Object, annotations, condition, events, labels, listed, said_of
from slipway.doctor.pods import Pods
from slipway.doctor.walk import Finding, broken, ok, skipped
from slipway.errors import ClusterError
from slipway.settings import Settings

PROBE = "slipway-doctor"
"""Name of the InferenceService that is tried and never made."""


@dataclass
class Endpoint:
    """An InferenceService and what stands behind it, each read once."""

    kube: Kube
    namespace: str
    name: str
    settings: Settings

    @cached_property
    def service(self) -> Object | None:
        """The InferenceService."""
        return self.kube.find(path(SERVING, self.namespace, "inferenceservices", self.name))

    @property
    def predictor(self) -> Mapping[str, Any]:
        """Its spec.predictor."""
        return dict((self.service or {})["spec"]["predictor"])

    @property
    def model(self) -> str:
        """The name under which the model is served: a canary has its model's."""
        return labels(self.service).get(MODEL) or self.name

    @property
    def storage_uri(self) -> str:
        """Where the release is; empty when the object does not say."""
        return str((self.predictor.get("model") or {}).get("storageUri") or "").rstrip("/")

    @property
    def release_digest(self) -> str:
        """SHA-256 hex that the object claims to serve; empty when it does not say."""
        return annotations(self.service).get(RELEASE_DIGEST, "")

    @property
    def account(self) -> str:
        """Name of the pods' ServiceAccount."""
        return str(self.predictor.get("serviceAccountName") or "default")

    @cached_property
    def service_account(self) -> Object | None:
        """That account."""
        return self.kube.find(path("v1", self.namespace, "serviceaccounts", self.account))

    @cached_property
    def secrets(self) -> Mapping[str, Object | None]:
        """Name -> each Secret that the account lists; None where it is not there."""
        names = [entry["name"] for entry in (self.service_account or {}).get("secrets") or []]
        return {name: self.kube.find(path("v1", self.namespace, "secrets", name)) for name in names}

    @property
    def backend(self) -> str:
        """Name of KServe's Deployment and Service of the predictor, in Standard mode."""
        return predictor(self.name)

    @cached_property
    def deployment(self) -> Object | None:
        """KServe's Deployment."""
        return self.kube.find(path("apps/v1", self.namespace, "deployments", self.backend))

    @cached_property
    def replica_set(self) -> Object | None:
        """The Deployment's newest ReplicaSet."""
        uid = (self.deployment or {"metadata": {}})["metadata"].get("uid")
        sets = self.kube.list(path("apps/v1", self.namespace, "replicasets"))
        owned = [s for s in sets if uid in [o.get("uid") for o in s["metadata"].get("ownerReferences") or []]]
        revision = "deployment.kubernetes.io/revision"
        return max(owned, key=lambda s: int(annotations(s).get(revision, 0)), default=None)

    @cached_property
    def pods(self) -> Pods:
        """The newest ReplicaSet's pods that are not on their way out."""
        hash_ = labels(self.replica_set).get("pod-template-hash", "")
        found = self.kube.list(path("v1", self.namespace, "pods"), labels=f"pod-template-hash={hash_}") if hash_ else []
        return Pods(self.kube, self.namespace, [p for p in found if not p["metadata"].get("deletionTimestamp")])


def namespace(e: Endpoint) -> Finding:
    """Its namespace is there."""
    return api.namespace(e.kube, e.namespace)


def webhook(e: Endpoint) -> Finding:
    """KServe's webhooks admit an InferenceService of ours, as a dry run."""
    probe = inference_service(name=PROBE, release_uri="s3://slipway/doctor/probe", namespace=e.namespace, digest="0" * 64)
    try:
        e.kube.call("POST", path(SERVING, e.namespace, "inferenceservices"), query={"dryRun": "All"}, body=probe)
    except ClusterError as exc:
        if exc.status == 403 and "cannot create" in exc.said:
            return skipped(f"this account may not make InferenceServices: {exc.said}")
        if not exc.status:
            raise
        return broken(
            f"an InferenceService is refused: {exc.said}", advise(REFUSED, exc.said, "slipway doctor cluster looks at KServe")
        )
    return ok("an InferenceService of ours is admitted (dry run)")


def exists(e: Endpoint) -> Finding:
    """The InferenceService is there, and not stopped."""
    if e.service is None:
        known = [s["metadata"]["name"] for s in e.kube.list(path(SERVING, e.namespace, "inferenceservices"))]
        return broken(
            f"there is no InferenceService '{e.name}' in '{e.namespace}'; there are: {listed(known)}",
            "deploy it, or name one of these",
        )
    if annotations(e.service).get("serving.kserve.io/stop", "").lower() == "true":
        return broken("it is stopped by its annotation serving.kserve.io/stop", "take the annotation away")
    return ok(f"release {e.release_digest[:12] or '(not said)'} at {e.storage_uri or '(not said)'}")


def runtime(e: Endpoint) -> Finding:
    """The ServingRuntime it names is there, and takes its format."""
    model = e.predictor.get("model") or {}
    if not (wanted := model.get("runtime")):
        return skipped("it names no runtime: KServe chooses one by its format")
    found = e.kube.find(path(RUNTIMES, e.namespace, "servingruntimes", wanted))
    if found is None:
        try:
            found = e.kube.find(path(RUNTIMES, "", "clusterservingruntimes", wanted))
        except ClusterError as exc:
            if exc.status != 403:
                raise
    if found is None:
        known = [r["metadata"]["name"] for r in e.kube.list(path(RUNTIMES, e.namespace, "servingruntimes"))]
        return broken(
            f"there is no ServingRuntime '{wanted}' in '{e.namespace}'; there are: {listed(known)}",
            f"install charts/slipway-models in '{e.namespace}', or name another in spec.predictor.model.runtime",
        )
    if found["spec"].get("disabled"):
        return broken(f"ServingRuntime '{wanted}' is disabled", "set its spec.disabled to false")
    formats = [f["name"] for f in found["spec"].get("supportedModelFormats") or []]
    if (name := (model.get("modelFormat") or {}).get("name")) not in formats:
        return broken(f"ServingRuntime '{wanted}' takes {listed(formats)}, not format '{name}'", "name a runtime that takes it")
    return ok(f"{found['kind']} {wanted}")


def reconciled(e: Endpoint) -> Finding:
    """KServe has looked at the object as it is now, and made its Deployment."""
    assert e.service is not None
    state = e.service.get("status") or {}
    current = state.get("observedGeneration", -1) >= e.service["metadata"].get("generation", 0)
    if e.deployment is not None and current:
        return ok(f"Deployment {e.backend}")
    said = events(e.kube, e.namespace, e.name)
    model = (state.get("modelStatus") or {}).get("lastFailureInfo") or {}
    failing: Object = next((c for c in state.get("conditions") or [] if c.get("status") == "False" and c.get("message")), {})
    why = model.get("message") or failing.get("message") or (said[-1] if said else "")
    if why:
        return broken(f"KServe made no Deployment of this version: {why}", "change what it says; see also the controller's log")
    return broken(
        "KServe's controller has not looked at this version", "look again in a few seconds; else: slipway doctor cluster"
    )


def replicas(e: Endpoint) -> Finding:
    """The Deployment's pods may be made: quota, Pod Security, ServiceAccount and webhooks allow them."""
    assert e.deployment is not None
    wanted = e.deployment["spec"].get("replicas", 1)
    if e.replica_set is None:
        failing = condition(e.deployment, "Progressing")
        return broken(f"Deployment {e.backend} has made no ReplicaSet: {said_of(failing)}", "look again in a few seconds")
    failure = condition(e.replica_set, "ReplicaFailure")
    if failure.get("status") == "True" or (wanted and not e.pods.pods):
        told = events(e.kube, e.namespace, e.replica_set["metadata"]["name"], reasons=("FailedCreate",))
        said = failure.get("message") or (told[-1] if told else "none was made yet")
        return broken(f"its pods are refused: {said}", advise(REFUSED, said, "look again in a few seconds"))
    return ok(f"{wanted} wanted")


def of_pods(check: Callable[[Pods], Finding]) -> Callable[[Endpoint], Finding]:
    """A link of `pods` about those behind it."""
    return lambda e: check(e.pods)
