"""The HTTPRoute of a model, as plain data: both protocols under one host name, divided between stable and canary.

One object for both: the Gateway API lets no HTTPRoute and GRPCRoute share a host name, and the weights of both protocols
move in one write.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from slipway.deploy.manifest import GRPC_PORT, HTTP_PORT, MODEL, check_names, object_name, predictor
from slipway.deploy.pod import MANAGED_BY, OURS, PART_OF
from slipway.errors import ConfigError

API_VERSION = "gateway.networking.k8s.io/v1"
GRPC_PATH = "/inference.GRPCInferenceService"
"""How paths of the v2 protocol's gRPC service begin."""
TIMEOUT_S = 60
"""Of a request at the gateway: twice what clients of ours wait by default."""
DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gateway:
    """Where requests from outside come in."""

    namespace: str
    name: str
    domain: str
    """A model's host is `<model>.<namespace>.<domain>`."""
    timeout_s: int = TIMEOUT_S
    """Of a request, in whole seconds; 0 leaves it to the gateway, for those that know no timeouts."""

    def __post_init__(self) -> None:
        if not DOMAIN.fullmatch(self.domain):
            raise ConfigError(f"gateway domain '{self.domain}': must be a DNS name, such as models.example.com")


def parse_gateway(gateway: str, domain: str, timeout_s: int = TIMEOUT_S) -> Gateway | None:
    """The gateway of the settings; None where none is set.

    Args:
        gateway: NAMESPACE/NAME of a Gateway.
    Raises: ConfigError: another form, or one of the two without the other.
    """
    if not gateway and not domain:
        return None
    namespace, slash, name = gateway.partition("/")
    if not (namespace and slash and name) or not domain:
        raise ConfigError(
            f"gateway '{gateway}', domain '{domain}': a model's route needs both, NAMESPACE/NAME of a Gateway and a domain; "
            f"give --gateway and --domain, or SLIPWAY_GATEWAY and SLIPWAY_GATEWAY_DOMAIN"
        )
    return Gateway(namespace=namespace, name=name, domain=domain, timeout_s=timeout_s)


def http_route(
    model: str, namespace: str, gateway: Gateway, *, canary_percent: int = 0, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The object to apply.

    Args:
        canary_percent: of the requests, 0 to 100. At 0 the canary is not in the route at all: it need not be there.
    Raises: ConfigError: a name that Kubernetes would refuse, or a percentage out of range.
    """
    check_names(model, namespace)
    if not 0 <= canary_percent <= 100:
        raise ConfigError(f"weight: must be 0 to 100 percent, got {canary_percent}")
    return {
        "apiVersion": API_VERSION,
        "kind": "HTTPRoute",
        "metadata": {
            "name": model,
            "namespace": namespace,
            "labels": {MANAGED_BY: OURS, PART_OF: OURS, MODEL: model},
            **({"annotations": dict(annotations)} if annotations else {}),
        },
        "spec": {
            "parentRefs": [{"name": gateway.name, "namespace": gateway.namespace}],
            "hostnames": [f"{model}.{namespace}.{gateway.domain}"],
            "rules": [
                _rule(model, path, port, canary_percent, gateway.timeout_s)
                for path, port in ((GRPC_PATH, GRPC_PORT), ("/", HTTP_PORT))
            ],
        },
    }


def gateway_of(route: Mapping[str, Any]) -> Gateway:
    """The gateway that an HTTPRoute of ours was made for."""
    meta, spec = route["metadata"], route["spec"]
    parent, rule = spec["parentRefs"][0], spec["rules"][-1]
    prefix = f"{meta['name']}.{meta['namespace']}."
    return Gateway(
        namespace=parent.get("namespace", meta["namespace"]),
        name=parent["name"],
        domain=spec["hostnames"][0].removeprefix(prefix),
        timeout_s=int(rule.get("timeouts", {}).get("request", "0s").removesuffix("s")),
    )


def canary_percent(route: Mapping[str, Any]) -> int:
    """What the route gives the canary now."""
    canary = predictor(object_name(route["metadata"]["name"], "canary"))
    backends = route["spec"]["rules"][-1]["backendRefs"]
    return next((int(b.get("weight", 1)) for b in backends if b["name"] == canary), 0)


def _rule(model: str, path: str, port: int, canary: int, timeout_s: int) -> dict[str, Any]:
    shares = [(object_name(model, "stable"), 100 - canary), (object_name(model, "canary"), canary)]
    backends = [
        {"name": predictor(service), "port": port, "weight": weight} for service, weight in shares if weight or service == model
    ]
    rule: dict[str, Any] = {"matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": backends}
    return {**rule, "timeouts": {"request": f"{timeout_s}s"}} if timeout_s else rule
