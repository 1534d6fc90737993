"""MLflow's own server over a local database."""

import os
import sys

from slipway.settings import Settings
from slipway.tracking.client import connect


def serve(settings: Settings, *, port: int) -> None:
    """Replace this process by MLflow's server on 127.0.0.1; returns at once where a server runs elsewhere already."""
    uri = settings.tracking_uri
    if uri.startswith(("http://", "https://")):
        print(f"MLflow is at {uri}")  # noqa: T201
        return
    connect(uri)  # makes a new database in the way that survives a kill
    # Its job runner would start seven more processes and take 1.9 GB; nothing of ours uses it.
    os.environ.update(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", MLFLOW_DISABLE_TELEMETRY="true")
    command = ["server", "--backend-store-uri", uri, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    artifacts = ["--artifacts-destination", str(settings.home / "mlartifacts")]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *command, *artifacts])
