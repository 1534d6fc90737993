"""The minio client as we use it: credentials, timeouts, and what its errors mean."""

import re
from typing import Any
from urllib.parse import urlsplit

from slipway.errors import ConfigError, NotFoundError, SlipwayError, StoreError

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
ROLE_TIMEOUT_S = 1.0
"""Off AWS, the address of the metadata service leads nowhere: do not wait long for it."""
TRANSIENT = frozenset({"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "OperationAborted"})
"""S3 error codes that go away by themselves; so does every answer with status 429 or 5xx."""
ABSENT = frozenset({"NoSuchKey", "NoSuchObject", "ResourceNotFound"})
FULL = "the store is full: cannot {verb} {name}; make room (slipway gc --delete) or give it more, and run again"
HINTS = {
    "NoSuchBucket": "no bucket '{bucket}'; create it, or name another in SLIPWAY_STORE",
    "InvalidAccessKeyId": "wrong credentials: the access key is unknown (InvalidAccessKeyId); check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "wrong credentials: the secret key does not fit (SignatureDoesNotMatch); "
    "check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "wrong credentials: they have expired (ExpiredToken); get new ones",
    "XMinioStorageFull": FULL,
    "XMinioAdminBucketQuotaExceeded": FULL,
    "AccessDenied": "these credentials may not {verb} {name} (AccessDenied); ask for the permission, or use others",
}


def connect(endpoint: str, *, connections: int, keys: tuple[str, str] | None = None, region: str = "") -> Any:
    """A minio client of an endpoint such as https://s3.amazonaws.com; nothing is sent yet.

    Args:
        keys: access key and secret key; None: the variables AWS_* or MINIO_*, ~/.aws/credentials, or the role of the pod or
            machine.
        region: empty: the client asks the server.
    Raises: ConfigError: the endpoint is not http(s)://host[:port].
    """
    from minio import Minio
    from minio.credentials import StaticProvider

    host, secure = parse_endpoint(endpoint)
    return Minio(
        host,
        secure=secure,
        credentials=StaticProvider(*keys) if keys else _chain(),
        region=region or None,
        http_client=pool(connections=connections),
    )


def parse_endpoint(endpoint: str) -> tuple[str, bool]:
    """Host with its port, and whether TLS is spoken there.

    Raises: ConfigError: it is not http(s)://host[:port].
    """
    parts = urlsplit(endpoint)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.path.strip("/")
        or parts.query
        or "@" in parts.netloc
    ):
        raise ConfigError(f"AWS_ENDPOINT_URL: must be http://host:port or https://host:port, got '{endpoint}'")
    return parts.netloc, parts.scheme == "https"


def pool(*, connections: int) -> Any:
    """Our HTTP connections to a store: short waits, the authorities of the system and certifi's, no retries."""
    import ssl

    import certifi
    import urllib3

    tls = ssl.create_default_context()  # the system's authorities, or SSL_CERT_FILE
    tls.load_verify_locations(certifi.where())  # slim images have none
    # Retries are the store's: the client's own would multiply with them, and cannot start a stream again.
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
        maxsize=connections,
        retries=False,
        ssl_context=tls,
    )


def _chain() -> Any:
    import urllib3
    from minio.credentials import AWSConfigProvider, ChainedProvider, EnvAWSProvider, EnvMinioProvider, IamAwsProvider

    class RoleProvider(IamAwsProvider):  # type: ignore[misc]
        def retrieve(self) -> Any:
            try:
                return super().retrieve()
            except (urllib3.exceptions.HTTPError, OSError) as exc:
                raise ValueError("no role") from exc  # what the chain takes for "not this one"

    roles = urllib3.PoolManager(timeout=urllib3.Timeout(connect=ROLE_TIMEOUT_S, read=READ_TIMEOUT_S), retries=False)
    return ChainedProvider([EnvAWSProvider(), EnvMinioProvider(), AWSConfigProvider(), RoleProvider(http_client=roles)])


def explain(exc: Exception, endpoint: str, bucket: str, verb: str, name: str) -> tuple[SlipwayError, bool]:
    """The error of ours for one of the client's, in one line, and whether trying again may help.

    Args:
        verb: what was tried with the object `name`, as in `cannot read s3://…`.
    """
    from minio.error import InvalidResponseError, S3Error, ServerError
    from urllib3.exceptions import HTTPError, SSLError

    failed = f"cannot {verb} {name}"
    if isinstance(exc, S3Error):
        code, status = str(exc.code), exc.response.status
        if code in ABSENT:
            return NotFoundError(f"{name}: no such object in the store"), False
        line = HINTS.get(code, "").format(bucket=bucket, verb=verb, name=name) or f"{failed} ({code}: {exc.message})"
        return StoreError(f"{endpoint}: {line}"), code in TRANSIENT or status == 429 or status >= 500
    if isinstance(exc, ServerError | InvalidResponseError):
        found = re.search(r"code:? (\d{3})", str(exc))
        status = int(found[1]) if found else 0
        transient = status == 429 or status >= 500
        hint = "the server is not well" if transient else "this is no S3 server, check AWS_ENDPOINT_URL"
        return StoreError(f"{endpoint}: {failed} (HTTP status {status}); {hint}"), transient
    if isinstance(exc, SSLError):
        return StoreError(f"{endpoint}: {failed} (TLS: {_line(exc)}); check AWS_ENDPOINT_URL"), False
    if isinstance(exc, HTTPError):
        hint = "check AWS_ENDPOINT_URL and that the server runs"
        return StoreError(f"{endpoint}: unreachable, {failed} ({_line(exc)}); {hint}"), True
    if "providers fail" in str(exc):
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        return StoreError(f"{endpoint}: {failed}: no S3 credentials found; {hint}"), False
    return StoreError(f"{endpoint}: {failed} ({_line(exc)})"), False


def _line(exc: Exception) -> str:
    """The cause in one line, without the names of the client's objects."""
    return re.sub(r"<[^>]*>:? ?|\S*Connection\S*\([^)]*\):? ?|\s+", " ", str(exc)).strip() or type(exc).__name__
