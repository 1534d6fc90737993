"""cluster.py install|remove|status: the platform on the cluster of the current kubeconfig.

install   what manifests/third-party.yaml lists and is not there, the manifests of an overlay, both charts; again: an upgrade
remove    both charts, their data and namespaces; --all takes what `install` added of others' as well
status    what is there

Every wait has a deadline, every step may be repeated, and what stops it is said in one line. Needs kubectl and helm.
"""

import argparse
import json
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from slipway.deploy.downloads import RESTRICTED, STORAGE, admitted

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = ROOT / "manifests"
NAMESPACE = "slipway"
PLATFORM, MODELS = "slipway", "models"
"""Names of the charts' releases."""
NOTE = "slipway-install"
"""ConfigMap that lists what of others' this script installed, so that only that is removed."""
ROOT_SECRET = "slipway-minio-root"
DEADLINE_S = 600
CONTEXTS = {"kind-": "kind", "minikube": "minikube"}
"""How a kubeconfig's context begins, and the overlay for it; any other cluster gets `production`."""


class StoppedError(Exception):
    """What went wrong, in one line."""


def main(arguments: list[str]) -> int:
    """See the module; 2 where something has to be done first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("install", "remove", "status"))
    parser.add_argument("--overlay", default="", help="of manifests/overlays, or `base` where a gateway is there already")
    parser.add_argument("--values", action="append", default=[], help="values file of the platform chart, over the overlay's")
    parser.add_argument("--models-values", action="append", default=[], help="values file of the models chart")
    parser.add_argument("--without", action="append", default=[], help="a part of manifests/third-party.yaml to leave out")
    parser.add_argument("--all", action="store_true", help="remove: also what `install` added of others'")
    options = parser.parse_args(arguments)
    parts = yaml.safe_load((MANIFESTS / "third-party.yaml").read_text(encoding="utf-8"))
    try:
        if unknown := set(options.without) - {part["name"] for part in parts}:
            raise StoppedError(f"--without {unknown.pop()}: known are {', '.join(part['name'] for part in parts)}")
        _reachable()
        if options.verb == "install":
            _install(parts, options)
        elif options.verb == "remove":
            _remove(parts, everything=options.all)
        else:
            _status(parts)
    except StoppedError as exc:
        print(f"cluster: {exc}", file=sys.stderr)
        return 2
    except FileNotFoundError as exc:
        print(f"cluster: {exc.filename}: not found; it must be in PATH", file=sys.stderr)
        return 2
    return 0


def _install(parts: list[dict[str, Any]], options: argparse.Namespace) -> None:
    overlay = options.overlay or _overlay()
    lock = MANIFESTS / "images.lock.yaml"
    if not lock.exists():
        raise StoppedError("manifests/images.lock.yaml is not there: make images, then make images-load (or images-push)")
    for part in parts:
        if part["name"] in options.without:
            _say(f"{part['name']}: left out")
        elif _present(part) or (part.get("serves") and _exist(part["serves"])):
            _say(f"{part['name']}: already there, left alone")
        else:
            _add(part)
    folder = MANIFESTS / ("base" if overlay == "base" else f"overlays/{overlay}")
    _say(f"manifests: {folder.relative_to(ROOT)}")
    _apply("-k", str(folder))
    if "kserve" in _added():
        _configure_kserve()
    _restrict_downloads()
    _root_secret()
    values = [lock, *(p for p in (folder / "platform-values.yaml",) if p.exists()), *map(Path, options.values)]
    _chart(PLATFORM, ROOT / "charts/slipway-platform", NAMESPACE, values)
    more = [lock, *(p for p in (folder / "models-values.yaml",) if p.exists()), *map(Path, options.models_values)]
    for team in _teams():
        _chart(MODELS, ROOT / "charts/slipway-models", team, more)
    _status(parts)


def _remove(parts: list[dict[str, Any]], *, everything: bool) -> None:
    added = _added()
    teams = _teams()
    for team in teams:
        _helm("uninstall", MODELS, "-n", team, "--ignore-not-found", "--wait", f"--timeout={DEADLINE_S}s")
    _helm("uninstall", PLATFORM, "-n", NAMESPACE, "--ignore-not-found", "--wait", f"--timeout={DEADLINE_S}s")
    for namespace in (*teams, NAMESPACE):
        _say(f"namespace {namespace}: removed with what is in it")
        _kubectl("delete", "namespace", namespace, "--ignore-not-found", f"--timeout={DEADLINE_S}s")
    if everything:
        for part in reversed([part for part in parts if part["name"] in added]):
            _say(f"{part['name']}: removed")
            for kind, where in reversed(_sources(part)):
                _kubectl("delete", kind, where, "--ignore-not-found", f"--timeout={DEADLINE_S}s")


def _status(parts: list[dict[str, Any]]) -> None:
    for part in parts:
        _say(f"{part['name']:20} {'there' if _present(part) else 'not there'}")
    listed = json.loads(_kubectl("get", "pods", "-A", "-o", "json"))["items"]
    used = _memory_mib()
    total = 0
    for pod in listed:
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        ready = all(c["ready"] for c in pod["status"].get("containerStatuses", [])) or pod["status"]["phase"] == "Succeeded"
        total += used.get((namespace, name), 0)
        mib = f"{used[namespace, name]:6d} MiB" if (namespace, name) in used else ""
        _say(f"{namespace + '/' + name:75} {pod['status']['phase'] + ('' if ready else ', not ready'):20}{mib}")
    _say(f"{'memory of all pods':96}{total:6d} MiB")


def _memory_mib() -> dict[tuple[str, str], int]:
    """(namespace, pod) -> memory in use, as the nodes' kubelets tell it; empty where this account may not ask them."""
    found = {}
    for node in _kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split():
        try:
            told = json.loads(_kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
        except StoppedError:
            continue
        for pod in told["pods"]:
            named = pod["podRef"]["namespace"], pod["podRef"]["name"]
            found[named] = pod.get("memory", {}).get("workingSetBytes", 0) // 2**20
    return found


def _add(part: dict[str, Any]) -> None:
    started = time.monotonic()
    _say(f"{part['name']} {part['version']}: {part['why']}")
    for kind, where in _sources(part):
        _apply(kind, where)
        _kubectl("wait", "crd", "--all", "--for=condition=Established", f"--timeout={DEADLINE_S}s")
    for wait in part["wait"]:
        _kubectl("-n", wait["namespace"], "wait", wait["what"], f"--for={wait['for']}", f"--timeout={DEADLINE_S}s")
    _note(part["name"])
    _say(f"{part['name']}: ready after {time.monotonic() - started:.0f} s")


def _sources(part: dict[str, Any]) -> list[tuple[str, str]]:
    """kubectl's option and the address, in order."""
    first = [("-k", part["first"])] if "first" in part else []
    return [*first, ("-k", str(ROOT / part["kustomize"])) if "kustomize" in part else ("-f", part["apply"])]


def _configure_kserve() -> None:
    """Plain Deployments, and routes of the gateway we installed: its shipped default is Knative."""
    name = ("-n", "kserve", "configmap/inferenceservice-config")
    data = json.loads(_kubectl("get", *name, "-o", "json"))["data"]
    deploy, ingress = json.loads(data["deploy"]), json.loads(data["ingress"])
    deploy["defaultDeploymentMode"] = "Standard"
    ingress.update(enableGatewayApi=True, kserveIngressGateway="kserve/kserve-ingress-gateway")
    patch = {"data": {"deploy": json.dumps(deploy), "ingress": json.dumps(ingress)}}
    _kubectl("patch", *name, "--type=merge", "-p", json.dumps(patch))
    _kubectl("-n", "kserve", "rollout", "restart", "deployment/kserve-controller-manager")
    _kubectl("-n", "kserve", "rollout", "status", "deployment/kserve-controller-manager", f"--timeout={DEADLINE_S}s")


def _restrict_downloads() -> None:
    """KServe's init container gives up its rights: namespaces of Pod Security `restricted` refuse its pods else."""
    name = f"clusterstoragecontainer/{STORAGE}"
    if admitted(json.loads(_kubectl("get", name, "-o", "json"))):
        return
    _kubectl("patch", name, "--type=merge", "-p", json.dumps(RESTRICTED))
    _say("kserve: its downloads give up their rights now, as restricted namespaces demand")


def _root_secret() -> None:
    """The object store's first credential: made once, kept ever after, and never in a values file."""
    if _exist([f"secret/{ROOT_SECRET}"], namespace=NAMESPACE):
        return
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": ROOT_SECRET, "namespace": NAMESPACE},
        "stringData": {"rootUser": f"root-{secrets.token_hex(4)}", "rootPassword": secrets.token_urlsafe(24)},
    }
    _kubectl("create", "-f", "-", input_=json.dumps(secret))


def _chart(release: str, chart: Path, namespace: str, values: list[Path]) -> None:
    started = time.monotonic()
    _say(f"chart {chart.name} as {namespace}/{release}")
    files = [word for path in values for word in ("-f", str(path))]
    _helm(
        "upgrade",
        "--install",
        release,
        str(chart),
        "-n",
        namespace,
        *files,
        "--wait",
        "--wait-for-jobs",
        f"--timeout={DEADLINE_S}s",
    )
    _say(f"chart {chart.name}: ready after {time.monotonic() - started:.0f} s")


def _teams() -> list[str]:
    """Namespaces that the platform's chart made."""
    listed = json.loads(_kubectl("get", "namespaces", "-l", "slipway.team", "-o", "json"))["items"]
    release = {"meta.helm.sh/release-name": PLATFORM, "meta.helm.sh/release-namespace": NAMESPACE}
    return [item["metadata"]["name"] for item in listed if release.items() <= item["metadata"].get("annotations", {}).items()]


def _added() -> set[str]:
    return set(
        _kubectl("-n", NAMESPACE, "get", "configmap", NOTE, "--ignore-not-found", "-o", "jsonpath={.data.added}").split()
    )


def _note(part: str) -> None:
    _apply("-f", str(MANIFESTS / "base/namespace.yaml"))
    data = {"added": " ".join(sorted({*_added(), part}))}
    note = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NOTE, "namespace": NAMESPACE}, "data": data}
    _kubectl("apply", "--server-side", "-f", "-", input_=json.dumps(note))


def _present(part: dict[str, Any]) -> bool:
    return _exist(part["present"])


def _exist(names: list[str], *, namespace: str = "default") -> bool:
    found = _kubectl("-n", namespace, "get", *names, "--ignore-not-found", "-o", "name").split()
    return len(found) == len(names)


def _overlay() -> str:
    context = _kubectl("config", "current-context").strip()
    return next((overlay for start, overlay in CONTEXTS.items() if context.startswith(start)), "production")


def _reachable() -> None:
    _kubectl("version", "-o", "json", "--request-timeout=10s")


def _apply(*arguments: str) -> None:
    _kubectl("apply", "--server-side", "--force-conflicts", *arguments)


def _kubectl(*arguments: str, input_: str | None = None) -> str:
    return _ran("kubectl", *arguments, input_=input_)


def _helm(*arguments: str) -> None:
    _ran("helm", *arguments)


def _ran(*command: str, input_: str | None = None) -> str:
    done = subprocess.run(command, input=input_, capture_output=True, text=True)
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"ended with {done.returncode}"
        raise StoppedError(f"{' '.join(command[:5])}: {said[:600]}")
    return done.stdout


def _say(message: str) -> None:
    print(f"cluster: {message}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
