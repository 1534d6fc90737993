"""MLflow's client, quiet and with bounds: short waits, few retries, one-line errors.

Variables of MLflow that get another default in our processes (set them yourself, and yours holds):
    MLFLOW_HTTP_REQUEST_MAX_RETRIES=2, _BACKOFF_FACTOR=1, _TIMEOUT=15   a dead server is reported in seconds, not minutes
    MLFLOW_DISABLE_TELEMETRY=true                                       nothing is sent to third parties
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false                          no bars on stderr
    MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD=false, _UPLOAD=false         files come through the server: on its own it sends
                                                                        clients to S3's address, which only pods can reach
"""

import logging
import os
import random
import re
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from slipway.errors import ConfigError, NotFoundError, SlipwayError, TrackingError
from slipway.settings import Settings
from slipway.tracking import database

T = TypeVar("T")

DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}
SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql")
BUSY_S = 30.0
"""How long a database that other processes write to is tried again; MLflow itself waits 20 s for an ordinary lock."""


def call(settings: Settings, action: Callable[[Any], T]) -> T:
    """The result of `action(client)`, with a client of the settings' tracking URI.

    A locked SQLite database is tried again for `BUSY_S`: several families may run at once on one laptop.

    Raises:
        ConfigError: the tracking URI is of a kind that MLflow's registry cannot use.
        NotFoundError: MLflow says that the thing does not exist.
        TrackingError: the server or database does not answer, or refuses.
    """
    uri = settings.tracking_uri
    client = connect(uri)
    from mlflow.exceptions import MlflowException

    deadline = time.monotonic() + BUSY_S
    pause_s = 0.05
    while True:
        try:
            return action(client)
        except MlflowException as exc:
            if "database is locked" not in str(exc) or time.monotonic() + pause_s > deadline:
                raise explain(exc, uri) from exc
        time.sleep(pause_s * random.uniform(0.5, 1.0))
        pause_s = min(2 * pause_s, 2.0)


@cache
def connect(uri: str) -> Any:
    """An MlflowClient of a tracking URI, made once per process: 2 s, most of it MLflow's import.

    Raises: ConfigError, TrackingError: see `call`.
    """
    scheme = uri.partition("://")[0].partition("+")[0]
    if scheme not in SCHEMES:
        raise ConfigError(
            f"MLFLOW_TRACKING_URI: '{redacted(uri)}' has no registry; use http(s)://host:port or a database: sqlite:///path, "
            f"postgresql://…, mysql://…"
        )
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ImportError as exc:
        raise ConfigError(f"mlflow cannot be imported ({exc}); install slipway[tracking]") from exc
    from mlflow.exceptions import MlflowException

    # Table creation is announced and each failing statement printed with its traceback: we report what fails ourselves.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3.connectionpool").addFilter(lambda record: "Retrying (" not in record.getMessage())

    def open_at(where: str) -> Any:
        return MlflowClient(tracking_uri=where, registry_uri=where)

    if scheme.startswith("http"):
        return open_at(uri)
    from sqlalchemy.exc import SQLAlchemyError  # MLflow lets its errors through while it opens a database

    try:
        if scheme == "sqlite":
            database.prepare(uri, open_at)
        return open_at(uri)
    except MlflowException as exc:
        raise explain(exc, uri) from exc
    except ImportError as exc:
        raise ConfigError(f"MLFLOW_TRACKING_URI: '{redacted(uri)}' needs a database driver ({exc}); install it") from exc
    except SQLAlchemyError as exc:
        raise TrackingError(f"{redacted(uri)}: cannot be opened ({_line(exc)}); check MLFLOW_TRACKING_URI") from exc


def explain(exc: Exception, uri: str) -> SlipwayError:
    """The error of ours for one of MLflow's, in one line."""
    message = _line(exc)
    if getattr(exc, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
        return NotFoundError(f"{redacted(uri)}: {message}")
    if "failed with exception" in message:  # MLflow's wording for: no connection, or no answer
        cause = re.search(r"\[Errno -?\d+\] ([^'\")\]]+)|(timed out)", str(exc))
        what = (cause[1] or cause[2]) if cause else message
        return TrackingError(f"{redacted(uri)}: MLflow does not answer ({what}); check MLFLOW_TRACKING_URI and that it runs")
    return TrackingError(f"{redacted(uri)}: MLflow refuses ({message})")


def redacted(uri: str) -> str:
    """The URI without a password."""
    return re.sub(r"//[^/@]*@", "//***@", uri)


def _line(exc: Exception) -> str:
    return redacted(" ".join(str(exc).split("\n(Background")[0].split()))[:300]
