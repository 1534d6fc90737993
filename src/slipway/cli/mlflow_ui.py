"""`slipway mlflow-ui`: MLflow's own pages over this machine's runs and models."""

from typing import Annotated

import typer


def command(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the pages, on 127.0.0.1.")] = 5000,
) -> None:
    """Serve MLflow's pages until interrupted; where MLFLOW_TRACKING_URI names a server, say where that is."""
    from slipway import settings
    from slipway.tracking.ui import serve

    serve(settings.load(), port=port)
