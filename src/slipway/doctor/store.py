"""`slipway doctor store`: from the place that is configured to an object written, read, listed and removed there."""

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path

from slipway.deploy.kube import Kube, path
from slipway.deploy.pod import REQUIRED_KEYS, RUN_ACCOUNT, RUN_CONFIG, STORE_KEYS, STORE_SECRET
from slipway.deploy.reach import reach
from slipway.doctor import api
from slipway.doctor.credentials import AWS, PROVISIONED, decoded, role_of, store_at
from slipway.doctor.objects import Object
from slipway.doctor.walk import Finding, broken, ok, skipped
from slipway.errors import NotFoundError
from slipway.settings import Settings
from slipway.store.uri import Store, open_store

SKEW_S = 900
"""S3 refuses requests that are further from its clock."""
NEAR_S = 60
FREE_BYTES = 1 << 30
REQUEST_TIMEOUT_S = 10.0


@dataclass
class Place:
    """The store of this machine's settings, or of a namespace's pods."""

    settings: Settings
    kube: Kube | None
    """None: this machine's settings hold."""
    namespace: str = ""
    probe: str = ""
    """Key of the object that is written; set when it is."""

    @cached_property
    def config(self) -> Object:
        """The namespace's ConfigMap, its values."""
        found = self.kube.find(path("v1", self.namespace, "configmaps", RUN_CONFIG)) if self.kube else None
        return dict((found or {}).get("data") or {})

    @property
    def uri(self) -> str:
        """Root of the store."""
        return (str(self.config.get("SLIPWAY_STORE", "")) if self.kube else self.settings.store).rstrip("/")

    @property
    def endpoint(self) -> str:
        """URL of the S3 server."""
        return (str(self.config.get("AWS_ENDPOINT_URL", "")) if self.kube else self.settings.s3_endpoint) or AWS

    @property
    def is_s3(self) -> bool:
        """Whether it is in S3."""
        return self.uri.startswith("s3://")

    @contextmanager
    def opened(self) -> Iterator[Store]:
        """The store, asked once and not again."""
        if not self.is_s3:
            yield open_store(self.uri)
            return
        found = self.kube.find(path("v1", self.namespace, "secrets", STORE_SECRET)) if self.kube else None
        keys = decoded(found) if found else {}
        pair = (keys.get(STORE_KEYS[0], ""), keys.get(STORE_KEYS[1], ""))
        if self.kube is None:
            from slipway.store.s3 import S3Store

            bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
            yield S3Store(bucket, prefix, endpoint=self.endpoint, retry_s=0)
            return
        with store_at(self.kube, self.uri, self.endpoint, pair if all(pair) else None, self.namespace) as store:
            yield store


def configured(p: Place) -> Finding:
    """Something says where the store is."""
    if p.kube is None:
        return ok(f"{p.uri}{f' at {p.endpoint}' if p.is_s3 else ''} (SLIPWAY_STORE of this machine)")
    if (there := api.namespace(p.kube, p.namespace)).fix:
        return there
    if not p.config:
        return broken(f"there is no ConfigMap '{RUN_CONFIG}' in '{p.namespace}'", PROVISIONED)
    if missing := [key for key in REQUIRED_KEYS if not p.config.get(key)]:
        return broken(f"ConfigMap '{RUN_CONFIG}' has no {' and no '.join(missing)}", f"add it; {PROVISIONED}")
    if not p.is_s3:
        return broken(f"SLIPWAY_STORE is '{p.uri}', which pods do not share", "give s3://bucket/prefix")
    return ok(f"{p.uri} at {p.endpoint}")


def secret(p: Place) -> Finding:
    """The namespace's pods have a credential."""
    if p.kube is None:
        return skipped("this machine's own credentials are tried")
    found = p.kube.find(path("v1", p.namespace, "secrets", STORE_SECRET))
    if found is None:
        if role := role_of(p.kube.find(path("v1", p.namespace, "serviceaccounts", RUN_ACCOUNT))):
            return skipped(
                f"the account {RUN_ACCOUNT} takes the role of its annotation {role}, which cannot be tried from here"
            )
        return broken(f"there is no Secret '{STORE_SECRET}' in '{p.namespace}'", PROVISIONED)
    if empty := [key for key in STORE_KEYS if not decoded(found).get(key)]:
        return broken(f"Secret '{STORE_SECRET}' has no {' and no '.join(empty)}", f"add it; {PROVISIONED}")
    return ok(STORE_SECRET)


def reachable(p: Place) -> Finding:
    """The server answers, and its clock and this machine's agree as far as S3 asks."""
    import httpx

    if not p.is_s3:
        return skipped("a directory")
    try:
        with _base(p) as base:
            started = time.perf_counter()
            answer = httpx.get(base, timeout=REQUEST_TIMEOUT_S, trust_env=False)
            took_ms = (time.perf_counter() - started) * 1000
    except httpx.HTTPError as exc:
        return broken(
            f"{p.endpoint} does not answer ({exc or type(exc).__name__})", "is the S3 server up, and AWS_ENDPOINT_URL right?"
        )
    skew_s = _skew_s(answer.headers.get("date", ""))
    if abs(skew_s) > SKEW_S:
        return broken(
            f"{p.endpoint}: its clock is {skew_s:+.0f} s from this machine's, S3 allows {SKEW_S} s", "set the clocks (NTP)"
        )
    late = f", its clock {skew_s:+.0f} s from ours" if abs(skew_s) > NEAR_S else ""
    return ok(f"{answer.headers.get('server', 'a server')} in {took_ms:.0f} ms{late}")


def listed(p: Place) -> Finding:
    """The credential is known, the bucket is there, and the prefix may be listed."""
    with p.opened() as store:
        found = store.entries("runs")
    return ok(f"{len(found)} objects below {p.uri}/runs")


def written(p: Place) -> Finding:
    """An object can be written."""
    p.probe = f"doctor/{secrets.token_hex(8)}"
    with p.opened() as store:
        store.put_bytes(p.probe, p.probe.encode())
    return ok(f"{p.uri}/{p.probe}")


def read_back(p: Place) -> Finding:
    """It reads as it was written, and is listed."""
    with p.opened() as store:
        if store.get_bytes(p.probe) != p.probe.encode():
            return broken(f"{p.uri}/{p.probe}: reads otherwise than it was written", "is a cache or another writer in between?")
        if p.probe not in store.keys("doctor"):
            return broken(f"{p.uri}/{p.probe}: is not listed", "the credential must list the whole prefix")
    return ok()


def removed(p: Place) -> Finding:
    """It can be removed, and is gone then."""
    with p.opened() as store:
        store.delete(p.probe)
        try:
            store.get_bytes(p.probe)
        except NotFoundError:
            return ok()
    return broken(f"{p.uri}/{p.probe}: is still there after its removal", "remove it by hand; may the credential delete?")


def room(p: Place) -> Finding:
    """The disk of a local store has room for a release."""
    if p.is_s3:
        return skipped("S3 tells no room; the write above would have failed")
    free = shutil.disk_usage(Path(p.uri)).free
    if free < FREE_BYTES:
        return broken(f"{p.uri}: {free >> 20} MiB are free", "slipway gc, or another SLIPWAY_STORE")
    return ok(f"{free >> 30} GiB free")


def _base(p: Place) -> AbstractContextManager[str]:
    return reach(p.kube, p.endpoint, namespace=p.namespace) if p.kube else nullcontext(p.endpoint)


def _skew_s(date: str) -> float:
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except ValueError:
        return 0.0
