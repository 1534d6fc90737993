"""images.py build|load|push|list [NAME...]: the platform's images, by an ordinary docker client.

build   every image of manifests/images.yaml that is ours, or those named; needs docker with BuildKit
load    what was built into the nodes of the current kubeconfig's kind or minikube cluster, or by --with COMMAND
push    what was built to --registry, so that the lock names it by digest
list    every image, ours and others', as --registry would name it

A built image is tagged VERSION-ID, ID being the start of the image's own digest: such a tag means one content, and unlike
`name@sha256:…` it also names an image that came into a node without a registry. manifests/images.lock.yaml holds the result.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "manifests/images.yaml"
LOCK = ROOT / "manifests/images.lock.yaml"
ID_CHARACTERS = 12


def main(arguments: list[str]) -> int:
    """See the module; 2 where something has to be done first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("build", "load", "push", "list"))
    parser.add_argument("names", nargs="*", help="of manifests/images.yaml; all of ours by default")
    parser.add_argument("--registry", default="", help="prefix of every image, such as registry.example/team")
    parser.add_argument("--with", dest="loader", default="", help="command that puts an image into the nodes, given its name")
    parser.add_argument("--build-arg", action="append", default=[], help="as docker's; for every image built")
    options = parser.parse_args(arguments)
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    names = options.names or list(table["ours"])
    if unknown := [name for name in names if name not in table["ours"]]:
        return _fail(f"no image '{unknown[0]}' in {TABLE.relative_to(ROOT)}; known: {', '.join(table['ours'])}")
    try:
        match options.verb:
            case "build":
                for name in names:
                    _build(name, table["ours"][name], options.build_arg)
            case "load":
                _load([_built(name) for name in names], options.loader)
            case "push":
                if not options.registry:
                    return _fail("push needs --registry, such as registry.example/team")
                for name in names:
                    _push(name, options.registry)
            case _:
                print("\n".join(_listed(table, options.registry)))
    except subprocess.CalledProcessError as exc:
        return _fail(f"'{' '.join(map(str, exc.cmd[:4]))} …' ended with {exc.returncode}")
    except FileNotFoundError as exc:
        return _fail(f"{exc.filename}: not found; it must be in PATH")
    except LookupError as exc:
        return _fail(str(exc.args[0]))
    return 0


def _build(name: str, image: dict[str, Any], build_args: list[str]) -> None:
    version = _said(sys.executable, "-c", "import slipway; print(slipway.__version__)")
    revision = _said("git", "-C", str(ROOT), "rev-parse", "HEAD")
    plain = f"{image['repository']}:{version}"
    given = [f"{key}={value}" for key, value in image.get("args", {}).items()]
    given += [f"VERSION={version}", f"REVISION={revision}", *build_args]
    if index := os.environ.get("SLIPWAY_TORCH_INDEX"):
        given.append(f"TORCH_INDEX={index}")
    print(f"images: building {plain}", file=sys.stderr)
    arguments = [word for value in given for word in ("--build-arg", value)]
    _run("docker", "build", "-f", str(ROOT / image["dockerfile"]), *arguments, "-t", plain, str(ROOT))
    identity = _said("docker", "image", "inspect", "--format", "{{.Id}}", plain).removeprefix("sha256:")
    tag = f"{version}-{identity[:ID_CHARACTERS]}"
    _run("docker", "tag", plain, f"{image['repository']}:{tag}")
    _lock(name, {"repository": image["repository"], "tag": tag, "digest": ""}, registry="")
    print(f"images: {image['repository']}:{tag}", file=sys.stderr)


def _load(references: list[str], loader: str) -> None:
    if not loader:
        context = _said("kubectl", "config", "current-context")
        if context.startswith("kind-"):
            loader = f"kind load docker-image --name {context.removeprefix('kind-')}"
        elif context == "minikube":
            loader = "minikube image load"
        else:
            raise LookupError(
                f"kubeconfig's context '{context}' is neither kind's nor minikube's: push to a registry, or give --with COMMAND"
            )
    for reference in references:
        print(f"images: {loader} {reference}", file=sys.stderr)
        _run(*loader.split(), reference)


def _push(name: str, registry: str) -> None:
    local = _built(name)
    remote = f"{registry.rstrip('/')}/{local.rpartition('/')[2]}"
    _run("docker", "tag", local, remote)
    _run("docker", "push", remote)
    digests = _said("docker", "image", "inspect", "--format", '{{join .RepoDigests "\\n"}}', remote).splitlines()
    repository = remote.rpartition(":")[0]
    digest = next((d.partition("@")[2] for d in digests if d.startswith(f"{repository}@")), "")
    if not digest:
        raise LookupError(f"{remote}: pushed, but docker names no digest for it")
    tag = local.rpartition(":")[2]
    _lock(name, {"repository": local.rpartition(":")[0], "tag": tag, "digest": digest}, registry=registry.rstrip("/"))
    print(f"images: {repository}@{digest}", file=sys.stderr)


def _listed(table: dict[str, Any], registry: str) -> list[str]:
    locked = _read_lock()["images"]
    ours = [
        f"{image['repository']}:{locked[name]['tag']}" if name in locked else image["repository"]
        for name, image in table["ours"].items()
    ]
    others = [other.partition("/")[2] if registry else other for other in table["others"]]
    return [f"{registry.rstrip('/')}/{image}" if registry else image for image in (*ours, *others)]


def _built(name: str) -> str:
    """The local reference of an image that `build` made."""
    image = _read_lock()["images"].get(name)
    if image is None:
        raise LookupError(f"image '{name}' is not built: make images")
    return f"{image['repository']}:{image['tag']}"


def _read_lock() -> dict[str, Any]:
    empty: dict[str, Any] = {"global": {"imageRegistry": ""}, "images": {}}
    return (yaml.safe_load(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else None) or empty


def _lock(name: str, image: dict[str, str], *, registry: str) -> None:
    lock = _read_lock()
    lock["global"]["imageRegistry"] = registry
    lock["images"][name] = image
    text = "# Written by scripts/images.py: what was built last. A values file of both charts.\n" + yaml.safe_dump(lock)
    partial = LOCK.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(LOCK)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, env={**os.environ, "DOCKER_BUILDKIT": "1"})


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _fail(message: str) -> int:
    print(f"images: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
