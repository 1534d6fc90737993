"""Whether what runs can be reached, and is what it says: addresses, routes, a real request, the digest."""

from typing import Any

from slipway.deploy.kube import path
from slipway.deploy.manifest import MODEL
from slipway.deploy.reach import reach
from slipway.doctor.endpoint import Endpoint
from slipway.doctor.objects import ROUTES, Object, condition, ready_ends, said_of
from slipway.doctor.walk import Finding, broken, ok, skipped

REQUEST_TIMEOUT_S = 15.0


def addressed(e: Endpoint) -> Finding:
    """The Service has ready pods behind it."""
    service = e.kube.find(path("v1", e.namespace, "services", e.backend))
    if service is None:
        return broken(f"there is no Service '{e.backend}'", "KServe makes it: look at its controller's log")
    ready, known = ready_ends(e.kube, e.namespace, e.backend)
    if not ready:
        return broken(
            f"Service {e.backend} has no ready address ({known} not ready)", "do its selector and the pods' labels agree?"
        )
    return ok(f"{ready} ready behind {e.backend}")


def routed(e: Endpoint) -> Finding:
    """Every route that leads here is accepted by a gateway that is programmed and has an address."""
    if e.kube.find(f"/apis/{ROUTES}") is None:
        return skipped("the Gateway API is not installed: the Service alone leads here")
    routes = [
        route | {"kind": kind}
        for kind, plural in (("HTTPRoute", "httproutes"), ("GRPCRoute", "grpcroutes"))
        for route in e.kube.list(path(ROUTES, e.namespace, plural))
        if _leads_to(route, e.backend)
    ]
    said = []
    for route in routes:
        for parent in route["spec"].get("parentRefs") or []:
            finding = _parent(e, route, parent)
            if finding.fix:
                return finding
            said.append(finding.said)
    return ok("; ".join(said)) if said else skipped("no route leads here: the Service alone does")


def ready(e: Endpoint) -> Finding:
    """KServe says Ready."""
    e.__dict__.pop("service", None)  # it may have become so meanwhile
    assert e.service is not None
    found = condition(e.service, "Ready")
    if found.get("status") == "True":
        return ok()
    conditions = (e.service.get("status") or {}).get("conditions") or []
    failing = next((c for c in conditions if c.get("status") != "True" and c["type"] != "Ready"), found)
    said = f"{failing.get('type', 'Ready')} is {failing.get('status', 'Unknown')}: {said_of(failing)}"
    return broken(f"KServe does not say Ready: {said}", "look again in a few seconds; else see its controller's log")


def answers(e: Endpoint) -> Finding:
    """The server says ready for the model, and describes it."""
    said = _ask(e)
    if isinstance(said, Finding):
        return said
    inputs = ", ".join(f"{i['name']} {i['datatype']}" for i in said.get("inputs", []))
    return ok(f"{_url(e)}: version {', '.join(said.get('versions', []))}, takes {inputs}")


def digest(e: Endpoint) -> Finding:
    """What is served is the release that the object names."""
    said = _ask(e)
    if isinstance(said, Finding):
        return said
    served, wanted = str(said.get("parameters", {}).get("digest", "")), e.release_digest
    if not (served and wanted):
        return skipped("the server or the object names no digest")
    if served != wanted:
        return broken(f"the server serves {served[:12]}, the object says {wanted[:12]}", "deploy again")
    return ok(served[:12])


def _url(e: Endpoint) -> str:
    status = (e.service or {}).get("status") or {}
    return str((status.get("address") or {}).get("url") or f"http://{e.backend}.{e.namespace}.svc.cluster.local")


def _ask(e: Endpoint) -> dict[str, Any] | Finding:
    """The model's metadata, or why there are none."""
    import httpx

    token = e.settings.server_token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with reach(e.kube, _url(e), namespace=e.namespace) as base:
        try:
            with httpx.Client(base_url=base, timeout=REQUEST_TIMEOUT_S, headers=headers, trust_env=False) as client:
                is_ready = client.get(f"/v2/models/{e.model}/ready")
                said = client.get(f"/v2/models/{e.model}")
        except httpx.HTTPError as exc:
            return broken(f"{_url(e)} does not answer ({exc or type(exc).__name__})", "network policies? and see the pod's log")
    if is_ready.status_code == 404:
        return broken(f"{_url(e)} serves no model '{e.model}'", f"the runtime's argument and the label {MODEL} must agree")
    if not is_ready.is_success:
        return broken(
            f"{_url(e)}: '{e.model}' is not ready ({is_ready.status_code} {is_ready.text[:200]})", "see the pod's log"
        )
    if said.status_code == 401:
        return skipped("it is ready; for more it asks for a token: set SLIPWAY_SERVER_TOKEN")
    if not said.is_success:
        return broken(f"{_url(e)}: describes '{e.model}' with {said.status_code} {said.text[:200]}", "see the pod's log")
    return dict(said.json())


def _leads_to(route: Object, backend: str) -> bool:
    names = [ref["name"] for rule in route["spec"].get("rules") or [] for ref in rule.get("backendRefs") or []]
    return any(name == backend or name == f"{backend}-grpc" for name in names)


def _parent(e: Endpoint, route: Object, parent: Object) -> Finding:
    where = f"{route['kind']} {route['metadata']['name']}"
    namespace = parent.get("namespace") or e.namespace
    gateway = e.kube.find(path(ROUTES, namespace, "gateways", parent["name"]))
    if gateway is None:
        return broken(
            f"{where}: there is no Gateway '{parent['name']}' in '{namespace}'",
            "name the one there is: gateway.name and gateway.namespace of charts/slipway-models",
        )
    told = [
        p for p in (route.get("status") or {}).get("parents") or []
        if (p["parentRef"]["name"], p["parentRef"].get("namespace", e.namespace)) == (parent["name"], namespace)
    ]  # fmt: skip
    if not told:
        return broken(
            f"{where}: Gateway {namespace}/{parent['name']} has not looked at it",
            "is the gateway's controller up? slipway doctor cluster",
        )
    for kind in ("Accepted", "ResolvedRefs"):
        found = condition({"status": told[0]}, kind)
        if found.get("status") != "True":
            return broken(
                f"{where}: Gateway {namespace}/{parent['name']} says {kind} {found.get('status', '')}: {said_of(found)}",
                "the gateway's listeners say which hosts and namespaces they take, the route which Services it names",
            )
    return gateway_ready(gateway)


def gateway_ready(gateway: Object) -> Finding:
    """The gateway is programmed and has an address."""
    name = f"Gateway {gateway['metadata']['namespace']}/{gateway['metadata']['name']}"
    found = condition(gateway, "Programmed")
    if found.get("status") != "True":
        return broken(
            f"{name} is not programmed: {said_of(found)}", "is its class's controller up, and can it make a load balancer?"
        )
    addresses = [a["value"] for a in (gateway.get("status") or {}).get("addresses") or []]
    if not addresses:
        return broken(f"{name} has no address", "a load balancer is missing: on kind run cloud-provider-kind")
    return ok(f"{name} at {', '.join(addresses)}")
