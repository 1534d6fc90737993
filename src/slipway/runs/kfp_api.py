"""The KFP API server as runs and schedules use it: a client of one that answers, its refusals in one line, the package."""

import contextlib
import io
import json
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.errors import ClusterError, ConfigError
from slipway.settings import Settings

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 10.0
"""Of one request."""
EXPERIMENT = "slipway"
ARTIFACTS = "kfp"
"""Below the store: where KFP keeps what steps hand on, and their logs. It may expire; releases are elsewhere."""


def host(settings: Settings) -> str:
    """The API server's URL, without its last slash. Raises: ConfigError: it is not set."""
    if not settings.kfp_host:
        raise ConfigError("SLIPWAY_KFP_HOST: not set; give the KFP API server, such as http://localhost:8888")
    return settings.kfp_host.rstrip("/")


def root(settings: Settings) -> str | None:
    """Where the artifacts of a run go: below the store; None, where pods cannot reach that, leaves it to KFP."""
    return f"{settings.store.rstrip('/')}/{ARTIFACTS}" if "://" in settings.store else None


def get(settings: Settings, path: str) -> "httpx.Response":
    """What the API server answers, be it a refusal. Raises: ConfigError: see `host`. ClusterError: it does not answer."""
    import httpx

    url = host(settings)
    try:
        return httpx.get(f"{url}{path}", timeout=TIMEOUT_S, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise ClusterError(
            f"SLIPWAY_KFP_HOST {url}: does not answer ({exc}); is it running, and the port-forward open?"
        ) from exc


def connect(settings: Settings) -> Any:
    """A KFP client of a server that answers. Raises: ConfigError: see `host`. ClusterError: it does not, or refuses us."""
    url, health = host(settings), "/apis/v2beta1/healthz"
    if (status := get(settings, health).status_code) != 200:
        raise ClusterError(f"SLIPWAY_KFP_HOST {url}: answers {status} to {health}; is it the KFP API?")
    import kfp

    with answering(settings):
        return kfp.Client(host=url, namespace=settings.kfp_namespace or "kubeflow")


@contextlib.contextmanager
def answering(settings: Settings) -> Iterator[None]:
    """Calls of the client: what it prints is swallowed. Raises: ClusterError: KFP does not answer or refuses."""
    import kfp_server_api
    import urllib3

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client prints links, and warns of its own age
        try:
            yield
        except (kfp_server_api.ApiException, urllib3.exceptions.HTTPError, TimeoutError) as exc:
            raise ClusterError(f"KFP at {settings.kfp_host}: {line(exc)}") from exc


def experiment(client: Any, settings: Settings) -> str:
    """Id of the experiment that holds our runs and schedules, made where there is none."""
    return str(client.create_experiment(EXPERIMENT, namespace=settings.kfp_namespace or None).experiment_id)


@contextlib.contextmanager
def package(ir: dict[str, Any], platform: dict[str, Any]) -> Iterator[str]:
    """A pipeline's documents as a file that the client can submit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"  # JSON is YAML
        path.write_text("\n---\n".join(json.dumps(d, ensure_ascii=False) for d in (ir, platform) if d), encoding="utf-8")
        yield str(path)


def line(exc: Exception) -> str:
    """What the server says, on one line."""
    body = getattr(exc, "body", None)
    try:
        return str(json.loads(body)["message"]) if body else (str(exc).strip().splitlines() or [type(exc).__name__])[0]
    except (ValueError, KeyError, TypeError):
        return f"{getattr(exc, 'status', '')} {getattr(exc, 'reason', '')}".strip()
