"""Who may read or write below which prefix of a MinIO bucket: users, and a policy for each, by MinIO's admin API."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from slipway.errors import SlipwayError, StoreError
from slipway.store import keys, s3_client

T = TypeVar("T")

READ = ("s3:GetObject",)
WRITE = ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
WRONG_ROOT = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """What one user may do in the bucket. Everything else is denied."""

    user: str
    """Access key, and name of the policy."""
    prefix: str
    """Without slashes at its ends: `teams/vision` covers `teams/vision/…`, not `teams/vision-2/…`."""
    write: bool
    """Write and delete too; otherwise list and read."""

    def __post_init__(self) -> None:
        """Raises: ConfigError: the prefix is empty, or no relative path."""
        keys.checked(self.prefix)


def policy(grant: Grant, bucket: str) -> dict[str, Any]:
    """The grant in the language of S3's policies."""
    arn = f"arn:aws:s3:::{bucket}"
    below = {"StringLike": {"s3:prefix": [grant.prefix, f"{grant.prefix}/*"]}}
    return {
        "Version": "2012-10-17",
        "Statement": [
            # KServe's storage initializer asks whether the bucket is there before it reads; MinIO has an action for just that
            {"Effect": "Allow", "Action": ["s3:GetBucketLocation", "s3:HeadBucket"], "Resource": [arn]},
            {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [arn], "Condition": below},
            {
                "Effect": "Allow",
                "Action": [*READ, *(WRITE if grant.write else ())],
                "Resource": [f"{arn}/{grant.prefix}/*"],
            },
        ],
    }


class Admin:
    """MinIO as its root user sees it. Every method may be repeated; StoreError: the server refuses or is away."""

    def __init__(self, endpoint: str, *, user: str, password: str, region: str = "") -> None:
        """Nothing is sent yet.

        Raises: ConfigError: the endpoint is malformed.
        """
        from minio import MinioAdmin
        from minio.credentials import StaticProvider

        self.endpoint = endpoint
        host, secure = s3_client.parse_endpoint(endpoint)
        root = StaticProvider(user, password)
        self._client = s3_client.connect(endpoint, connections=1, keys=(user, password), region=region)
        http = s3_client.pool(connections=1)
        self._admin = MinioAdmin(endpoint=host, credentials=root, region=region, secure=secure, http_client=http)

    def ensure_bucket(self, bucket: str) -> bool:
        """Make the bucket if it is not there; whether it was made."""
        from minio.error import S3Error

        def make() -> bool:
            if self._client.bucket_exists(bucket):
                return False
            try:
                self._client.make_bucket(bucket)
            except S3Error as exc:
                if exc.code == "BucketAlreadyOwnedByYou":  # another was quicker
                    return False
                raise
            return True

        return self._call("make", bucket, make)

    def allow(self, grant: Grant, bucket: str, secret_key: str) -> None:
        """Let the user do what the grant says, and no more, with this secret key (8 to 40 characters)."""

        def set_up() -> None:
            self._admin.policy_add(grant.user, policy=policy(grant, bucket))
            self._admin.user_add(grant.user, secret_key)
            self._admin.policy_set(grant.user, user=grant.user)

        self._call("grant to", grant.user, set_up)

    def users(self) -> list[str]:
        """Access keys of all users but root, sorted."""
        return self._call("list users of", "", lambda: sorted(json.loads(self._admin.user_list())))

    def forget(self, user: str) -> None:
        """Remove a user and its policy: its credential is worth nothing from now on, its objects stay."""

        def remove() -> None:
            self._admin.user_remove(user)
            self._admin.policy_remove(user)

        self._call("remove", user, remove)

    def _call(self, verb: str, name: str, action: Callable[[], T]) -> T:
        from minio.error import MinioAdminException, MinioException, S3Error
        from urllib3.exceptions import HTTPError

        try:
            return action()
        except (MinioAdminException, MinioException, HTTPError, ValueError) as exc:
            if isinstance(exc, MinioAdminException):
                code, message = _said(exc)
                retryable = code == "XMinioServerNotInitialized"
                error: SlipwayError = StoreError(f"{self.endpoint}: cannot {verb} {name} ({code}: {message})")
            else:
                code = str(exc.code) if isinstance(exc, S3Error) else ""
                error, retryable = s3_client.explain(exc, self.endpoint, name, verb, name)
            if code in WRONG_ROOT:
                error = StoreError(f"{self.endpoint}: the root credential is refused ({code}); check rootUser and rootPassword")
            error.retryable = retryable
            raise error from exc


def _said(exc: Any) -> tuple[str, str]:
    """Code and message of an answer of the admin API: JSON, or the page of something that is no MinIO."""
    try:
        said = json.loads(exc._body)
        return str(said["Code"]), str(said["Message"])
    except (AttributeError, ValueError, KeyError, TypeError):
        return "no answer of MinIO", " ".join(str(exc).split())[:200]
