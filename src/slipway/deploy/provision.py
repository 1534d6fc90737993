"""Give every team its credentials: `python -m slipway.deploy.provision --plan FILE --root FOLDER`.

Makes the bucket, a user of MinIO for each grant of the plan, and the Secret that carries its credential; keys that are there
stay. What the plan no longer names loses its user: every one whose name begins with the bucket's and an underscore is ours. Run
again, it changes nothing.
"""

import argparse
import base64
import binascii
import json
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from slipway.config import configured, read_yaml
from slipway.deploy import objects
from slipway.deploy.kube import Kube, path
from slipway.deploy.pod import MANAGED_BY, OURS, PART_OF, S3_ENDPOINT, S3_USE_HTTPS, STORE_KEYS
from slipway.errors import ConfigError, ConflictError, SlipwayError, StoreError, UserError
from slipway.store.grants import Admin, Grant

MANAGER = "slipway-provision"
"""Field manager, and value of the label MANAGED_BY, of the Secrets."""
KEY_CHARACTERS = 40
"""MinIO takes 8 and more; hexadecimal, 160 bits."""
PAUSE_S = 2.0
"""Between attempts to reach the store."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """One grant of the plan, and where its credential goes."""

    user: str
    """Access key."""
    prefix: str
    """Of the bucket."""
    write: bool
    """Or read alone."""
    namespace: str
    """Of the Secret."""
    secret: str
    """Its name."""
    account: str
    """ServiceAccount whose it is: with the account, Kubernetes removes the Secret."""

    @property
    def grant(self) -> Grant:
        """What the user may do."""
        return Grant(user=self.user, prefix=self.prefix, write=self.write)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What there is to provision."""

    endpoint: str
    """Of MinIO, such as http://slipway-minio.slipway.svc:9000."""
    region: str
    """Of the bucket."""
    bucket: str
    """Everything is in it."""
    grants: tuple[Credential, ...]
    """In this order."""


def read_plan(file: Path) -> Plan:
    """The plan in a YAML file.

    Raises: ConfigError: it cannot be read, has an unknown or a missing key, or a prefix that is none.
    """
    plan = configured(Plan, read_yaml(file), where=str(file), joint=": ")
    for credential in plan.grants:
        _ = credential.grant  # a wrong prefix is refused before anything is done
    return plan


def provision(plan: Plan, admin: Admin, kube: Kube, *, say: Callable[[str], None], wait_s: float = 0) -> dict[str, Any]:
    """Bring the store and the Secrets to what the plan says.

    Args:
        say: told what was changed, one line each.
        wait_s: how long to wait for a store that does not answer yet.
    Returns: `bucket`, `grants` (how many), `made` and `removed` (users).
    Raises: StoreError, ClusterError: one of them does not answer, or refuses. ConflictError: a Secret is somebody else's.
    """
    _make_bucket(admin, plan.bucket, wait_s, say)
    made, removed = [], []
    for credential in plan.grants:
        secret = objects.find(kube, "Secret", credential.namespace, credential.secret)
        key = _key(secret, credential)
        if not key:
            key = secrets.token_hex(KEY_CHARACTERS // 2)
            made.append(credential.user)
        admin.allow(credential.grant, plan.bucket, key)
        _write(kube, plan, credential, key)
        say(f"{credential.namespace}/{credential.secret}: {'kept' if credential.user not in made else 'made'}")
    for user in set(admin.users()) - {credential.user for credential in plan.grants}:
        if user.startswith(f"{plan.bucket}_"):
            admin.forget(user)
            removed.append(user)
            say(f"user {user}: removed")
    return {"bucket": plan.bucket, "grants": len(plan.grants), "made": sorted(made), "removed": sorted(removed)}


def _key(secret: Mapping[str, Any] | None, credential: Credential) -> str:
    """The secret key that the Secret has; empty when there is none to keep.

    Raises: ConflictError: the Secret is not ours.
    """
    if secret is None:
        return ""
    labels = secret["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY) != MANAGER:
        raise ConflictError(
            f"Secret {credential.namespace}/{credential.secret}: is there and not ours; "
            f"remove it, or provision nothing (provision.enabled=false)"
        )
    data = secret.get("data") or {}
    try:
        user, key = (base64.b64decode(data.get(name, ""), validate=True).decode("ascii") for name in STORE_KEYS)
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return key if user == credential.user and len(key) >= 8 else ""


def _write(kube: Kube, plan: Plan, credential: Credential, key: str) -> None:
    """Server-side apply the Secret, with KServe's annotations, owned by its service account."""
    account = path("v1", credential.namespace, "serviceaccounts", credential.account)
    owner = kube.call("GET", account, f"ServiceAccount {credential.namespace}/{credential.account}")
    server = urlsplit(plan.endpoint)
    values = dict(zip(STORE_KEYS, (credential.user, key), strict=True))
    wanted = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": credential.secret,
            "namespace": credential.namespace,
            "labels": {MANAGED_BY: MANAGER, PART_OF: OURS},
            "annotations": {
                S3_ENDPOINT: server.netloc,
                S3_USE_HTTPS: "1" if server.scheme == "https" else "0",
                "serving.kserve.io/s3-region": plan.region,
                "serving.kserve.io/s3-useanoncredential": "false",
                "serving.kserve.io/s3-usevirtualbucket": "false",
            },
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "ServiceAccount", "name": credential.account, "uid": owner["metadata"]["uid"]}
            ],
        },
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in values.items()},
    }
    objects.apply(kube, wanted, manager=MANAGER)


def _make_bucket(admin: Admin, bucket: str, wait_s: float, say: Callable[[str], None]) -> None:
    """The first thing asked of the store, which may have been started a moment ago."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            if admin.ensure_bucket(bucket):
                say(f"bucket {bucket}: made")
            return
        except StoreError as exc:
            if not exc.retryable or time.monotonic() + PAUSE_S > deadline:
                raise
            say(f"waiting: {exc}")
        time.sleep(PAUSE_S)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; prints one JSON line of what was done."""
    parser = argparse.ArgumentParser(prog="python -m slipway.deploy.provision", description=__doc__)
    parser.add_argument("--plan", type=Path, required=True, help="YAML: endpoint, region, bucket, grants")
    parser.add_argument("--root", type=Path, required=True, help="folder with files rootUser and rootPassword of MinIO")
    parser.add_argument("--wait-s", type=float, default=120, help="how long to wait for the store (default 120)")
    parser.add_argument("--context", default="", help="of the kubeconfig, outside a pod")
    options = parser.parse_args(argv)

    def say(line: str) -> None:
        print(line, file=sys.stderr)  # noqa: T201  # a command of its own

    try:
        plan = read_plan(options.plan)
        try:
            user, password = ((options.root / name).read_text(encoding="utf-8") for name in ("rootUser", "rootPassword"))
        except OSError as exc:
            raise ConfigError(
                f"--root {options.root}: {exc.strerror} ({exc.filename}); mount the root credential there"
            ) from exc
        admin = Admin(plan.endpoint, user=user, password=password, region=plan.region)
        done = provision(plan, admin, Kube(options.context), wait_s=options.wait_s, say=say)
        print(json.dumps(done))  # noqa: T201
    except SlipwayError as exc:
        say(f"error: {exc}")
        return 2 if isinstance(exc, UserError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
