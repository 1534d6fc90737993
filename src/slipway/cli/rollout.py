"""`slipway rollout`: a new release beside the stable one, with a share of the requests, step by step."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.flags import AsJson, Context, Namespace, Timeout

if TYPE_CHECKING:
    from slipway.deploy.rollout import Rollout

commands = typer.Typer(
    no_args_is_help=True,
    help="A canary of a served model, by hand: start, set-weight, promote or abort. A killed command goes on when repeated.",
)
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A served model, by the name in the registry.")]
Weight = Annotated[int, typer.Option("--weight", min=0, max=100, help="Percent of the requests for the canary.")]


@commands.command()
def start(
    model: Model,
    version: Annotated[str, typer.Argument(metavar="VERSION|@ALIAS", help="Of the registry, such as 8 or @challenger.")],
    weight: Weight = 20,
    namespace: Namespace = "",
    context: Context = "",
    timeout: Timeout = 600.0,
) -> None:
    """Serve a version beside the stable one; once it is Ready it gets its share of the requests."""
    from slipway.cli.deploy import resolved

    release = resolved(f"{model}{version}" if version.startswith("@") else f"{model}:{version}")
    _rollout(model, namespace, context, timeout).start(release, weight=weight)


@commands.command(name="set-weight")
def set_weight(
    model: Model,
    weight: Annotated[int, typer.Argument(min=0, max=100, metavar="PERCENT", help="Of the requests, for the canary.")],
    namespace: Namespace = "",
    context: Context = "",
) -> None:
    """Give the canary another share of the requests."""
    _rollout(model, namespace, context, 60.0).set_weight(weight)


@commands.command()
def promote(model: Model, namespace: Namespace = "", context: Context = "", timeout: Timeout = 600.0) -> None:
    """Make the canary's version the stable one and the champion of the registry; no request is lost."""
    from slipway import settings as settings_
    from slipway.tracking import registry

    settings = settings_.load()
    _rollout(model, namespace, context, timeout).promote(
        lambda release: registry.promote(release.model, int(release.version), settings=settings)
    )


@commands.command()
def abort(model: Model, namespace: Namespace = "", context: Context = "", timeout: Timeout = 600.0) -> None:
    """Take the canary away; where a promotion has begun, go back to the version before."""
    _rollout(model, namespace, context, timeout).abort()


@commands.command()
def status(model: Model, namespace: Namespace = "", context: Context = "", as_json: AsJson = False) -> None:
    """What serves, with which share of the requests, and how far a rollout is."""
    from slipway.cli.table import show

    found: dict[str, Any] = _rollout(model, namespace, context, 60.0).status()
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    rows = [
        (role, of["version"], of["digest"][:12], f"{of['weight']} %", of["state"], of["reason"])
        for role in ("stable", "canary")
        if (of := found.get(role))
    ]
    show(("role", "version", "digest", "requests", "state", "reason"), rows, empty="")
    print(f"{found['namespace']}/{found['model']}: rollout: {found['rollout']}")


def _rollout(model: str, namespace: str, context: str, timeout_s: float) -> "Rollout":
    from slipway import settings as settings_
    from slipway.data.progress import to_stderr
    from slipway.deploy.kube import Kube
    from slipway.deploy.rollout import Rollout

    kube = Kube(context)
    image = settings_.load().serve_image
    return Rollout(kube, model, namespace or kube.namespace, say=to_stderr, image=image, timeout_s=timeout_s)
