"""`python -m slipway.tracking.schema`: bring the database of MLFLOW_TRACKING_URI to the schema of the MLflow that is installed.

MLflow's server refuses a database of an older schema; run this before it starts, and take a backup before a new version.
"""

import sys

from slipway import settings
from slipway.errors import ConfigError, SlipwayError, TrackingError, UserError
from slipway.tracking import database
from slipway.tracking.client import redacted

SCHEMES = ("sqlite", "postgresql")
CONNECT_TIMEOUT_S = 10


def upgrade(uri: str) -> None:
    """Make MLflow's tables, or change them; nothing to do where they are as they should be.

    Args:
        uri: sqlite:///path or postgresql+psycopg://user:password@host:port/name.
    Raises: ConfigError: another kind, or its driver is missing. TrackingError: the database does not answer, or refuses.
    """
    scheme = uri.partition("://")[0].partition("+")[0]
    if scheme not in SCHEMES:
        raise ConfigError(f"MLFLOW_TRACKING_URI: '{redacted(uri)}' is no database; use {' or '.join(SCHEMES)}")
    try:
        from mlflow.db import upgrade as command
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if scheme == "sqlite":
            database.prepare(uri, command.callback)  # a kill leaves a new database whole or absent
        else:
            _connect(uri)
        command.callback(uri)
    except ImportError as exc:
        raise ConfigError(f"{redacted(uri)}: cannot be opened ({exc}); install slipway[tracking] and the driver") from exc
    except (MlflowException, SQLAlchemyError) as exc:
        line = redacted(" ".join(str(exc).split("\n(Background")[0].split()))[:300]
        raise TrackingError(f"{redacted(uri)}: schema not upgraded ({line})") from exc


def _connect(uri: str) -> None:
    """Once, so that a wrong password is said at once: MLflow tries again for most of an hour."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, connect_args={"connect_timeout": CONNECT_TIMEOUT_S})
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def main() -> int:
    """The command; 0 when the schema is what MLflow wants."""
    try:
        upgrade(settings.load().tracking_uri)
    except SlipwayError as exc:
        print(f"error: {exc}", file=sys.stderr)  # noqa: T201  # a command of its own
        return 2 if isinstance(exc, UserError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
