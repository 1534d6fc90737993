"""`slipway deploy`: registered models as services of a cluster, once or for as long as their aliases move."""

import signal
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.flags import Context, Namespace, Timeout
from slipway.errors import ConfigError

if TYPE_CHECKING:
    from slipway.deploy.follow import Followed
    from slipway.deploy.service import Release
    from slipway.settings import Settings

Option = typer.Option


def command(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="NAME (its champion), NAME@ALIAS or NAME:VERSION of the registry."),
    ] = None,
    file: Annotated[
        Path | None,
        Option("--file", "-f", metavar="FILE.yaml", help="Instead: a list of models, each with its name, alias and sizes."),
    ] = None,
    namespace: Namespace = "",
    context: Context = "",
    gateway: Annotated[str, Option(metavar="NAMESPACE/NAME", help="A Gateway to be reached by; default SLIPWAY_GATEWAY.")] = "",
    domain: Annotated[str, Option(help="Hosts there are MODEL.NAMESPACE.DOMAIN; default SLIPWAY_GATEWAY_DOMAIN.")] = "",
    min_replicas: Annotated[int | None, Option(min=1, help="Pods there always are; default: as they are, first 1.")] = None,
    max_replicas: Annotated[int | None, Option(min=1, help="Pods that load may bring; default: as they are, first 3.")] = None,
    cpu: Annotated[str | None, Option(help="Request of a pod; default: as it is, first 500m.")] = None,
    memory: Annotated[str | None, Option(help="Request and limit of a pod; default: as it is, first 1Gi.")] = None,
    watch: Annotated[bool, Option("--watch", help="Go on, and apply again whenever an alias moves.")] = False,
    interval: Annotated[float, Option(metavar="SECONDS", help="Between two looks at an alias, with --watch.")] = 30.0,
    heartbeat: Annotated[Path | None, Option(metavar="FILE", help="Written after every look, with --watch.")] = None,
    timeout: Timeout = 600.0,
) -> None:
    """Serve a release as its model's InferenceService, and wait until all of its pods do.

    Pods read the store by the service account slipway-model-NAME where there is one, else slipway-models. What a Helm release
    owns is left alone, and so is a model with a rollout under way.
    """
    from slipway import settings as settings_
    from slipway.data.progress import to_stderr
    from slipway.deploy.kube import Kube
    from slipway.deploy.route import parse_gateway
    from slipway.deploy.service import Sizes, deploy

    settings = settings_.load()
    entry = parse_gateway(gateway or settings.gateway, domain or settings.gateway_domain, settings.gateway_timeout_s)
    sizes = Sizes(min_replicas=min_replicas, max_replicas=max_replicas, cpu=cpu, memory=memory)
    if bool(models) == bool(file):
        raise ConfigError("deploy: name models, or a --file of them: one of both")
    if file and sizes != Sizes():
        raise ConfigError("deploy: sizes belong to each model of the --file; leave out --min-replicas and the like")
    if watch:
        followed = _of_file(file) if file else [_followed(text, sizes) for text in models or []]
        _follow(
            followed, kube=lambda: Kube(context), namespace=namespace, settings=settings, image=settings.serve_image,
            gateway=entry, interval_s=interval, heartbeat=heartbeat,
        )  # fmt: skip
        return
    wanted = [(m.spec, m) for m in _of_file(file)] if file else [(text, sizes) for text in models or []]
    kube = Kube(context)
    for text, size in wanted:
        release = resolved(text, settings)
        url = deploy(
            kube, release, namespace or kube.namespace, sizes=size, image=settings.serve_image, gateway=entry,
            timeout_s=timeout, progress=to_stderr,
        )  # fmt: skip
        print(f"{release}: serves at {url}")


def resolved(text: str, settings: "Settings | None" = None) -> "Release":
    """The registered release that NAME, NAME@ALIAS or NAME:VERSION means. Raises: NotFoundError, TrackingError."""
    from slipway.deploy.service import Release
    from slipway.tracking import registry

    found = registry.resolve(text, settings=settings)
    return Release(model=found.name, version=str(found.version), uri=found.release_uri, digest=found.release_digest)


def _follow(followed: "list[Followed]", *, settings: "Settings", **options: Any) -> None:
    from slipway.data.progress import to_stderr
    from slipway.deploy.follow import Follower

    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):  # process 1 of a container is not ended by a signal it does not handle
        signal.signal(number, lambda *_: stop.set())
    resolve = lambda spec: resolved(spec, settings)  # noqa: E731
    Follower(followed, resolve=resolve, say=to_stderr, **options).run(stop)


def _followed(text: str, sizes: Any) -> "Followed":
    from dataclasses import asdict

    from slipway.deploy.follow import Followed

    if ":" in text:
        raise ConfigError(f"deploy {text} --watch: a version does not move; give NAME or NAME@ALIAS")
    name, _, alias = text.partition("@")
    return Followed(name=name, alias=alias or "champion", **asdict(sizes))


def _of_file(path: Path) -> "list[Followed]":
    """Raises: ConfigError: it cannot be read, or an entry has an unknown key or another type."""
    from slipway.config import read_yaml, records
    from slipway.deploy.follow import Followed

    what = f"--file {path}"
    return list(records(Followed, read_yaml(path, what=what), where=what))
