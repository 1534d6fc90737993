"""From this machine to a server inside the cluster: directly where that works, else through a forwarded port."""

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from slipway.deploy.kube import Kube, path
from slipway.errors import ClusterError

SERVICE = re.compile(r"([a-z0-9][-a-z0-9]*)(?:\.([a-z0-9][-a-z0-9]*))?(\.svc(?:\.[-.a-z0-9]+)?)?")
CHUNK_BYTES = 1 << 16
PORTS = {"http": 80, "https": 443}


@contextmanager
def reach(kube: Kube, url: str, *, namespace: str) -> Iterator[str]:
    """A base URL for the server of `url`, good within the block.

    A Service's name resolves in pods only: elsewhere a port of this machine leads to one of the Service's ready pods. The
    server then sees another Host header than pods send; give it yourself where that matters.

    Args:
        url: http(s)://host[:port], what pods use.
        namespace: in which a host without a namespace is looked up.
    Raises: ClusterError: the Service has no ready pod, or its port cannot be forwarded.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 80)
    match = SERVICE.fullmatch(host)
    where = match and (match[2] or namespace, match[1])
    service = None if kube.inside or not where else kube.find(path("v1", where[0], "services", where[1]))
    if service is None:
        if match and match[3] and not kube.inside:
            where_ = f"there is no Service '{match[1]}' in namespace '{match[2] or namespace}'"
            raise ClusterError(f"{url}: {where_}; correct the URL, or install what it names")
        yield f"{parts.scheme}://{host}:{port}"
        return
    pod, target = _pod_of(kube, service, port, url)
    with _forwarded(kube, service["metadata"]["namespace"], pod, target) as local:
        yield f"{parts.scheme}://127.0.0.1:{local}"


def _pod_of(kube: Kube, service: dict[str, Any], port: int, url: str) -> tuple[str, int]:
    """A ready pod behind the Service, and the number of its port."""
    meta, spec = service["metadata"], service["spec"]
    name, namespace = meta["name"], meta["namespace"]
    entry = next((p for p in spec.get("ports") or [] if p["port"] == port), None)
    if spec.get("clusterIP") == "None":  # its name is the pods' own address
        entry = {"targetPort": port}
    if entry is None:
        ports = ", ".join(str(p["port"]) for p in spec.get("ports") or []) or "none"
        raise ClusterError(f"Service {namespace}/{name}: has no port {port}, it has {ports}; correct {url}")
    selector = ",".join(f"{k}={v}" for k, v in (spec.get("selector") or {}).items())
    pods = kube.list(path("v1", namespace, "pods"), labels=selector) if selector else []
    for pod in pods:
        conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions") or []}
        if conditions.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp"):
            return pod["metadata"]["name"], _number(pod, entry.get("targetPort") or port)
    raise ClusterError(f"Service {namespace}/{name}: has no ready pod; kubectl -n {namespace} get pods shows why")


def _number(pod: dict[str, Any], target: int | str) -> int:
    ports = (p for c in pod["spec"]["containers"] for p in c.get("ports") or [])
    return next((p["containerPort"] for p in ports if p.get("name") == target), 0) if isinstance(target, str) else target


@contextmanager
def _forwarded(kube: Kube, namespace: str, pod: str, port: int) -> Iterator[int]:
    """A port of this machine whose connections end at the pod's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    near, _ = listener.accept()
                except OSError:  # the block has ended
                    return
                try:
                    far = _connect(kube, namespace, pod, port)
                except Exception:  # noqa: BLE001  # whoever connected sees a closed connection, and says so
                    near.close()
                    continue
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(source, sink), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept
    thread.join(1)


def _connect(kube: Kube, namespace: str, pod: str, port: int) -> Any:
    from kubernetes import client
    from kubernetes.stream import portforward

    # a client of its own: while it connects, the library swaps the client's method that sends
    core = client.CoreV1Api(client.ApiClient(kube.client.configuration))
    forward = portforward(core.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port))
    far = forward.socket(port)
    far.setblocking(True)
    return far


def _pump(source: Any, sink: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            end.close()
