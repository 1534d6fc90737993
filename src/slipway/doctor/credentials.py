"""Whether a predictor's pods can fetch their release: account, Secret, and a real read with that Secret."""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from slipway.deploy.kube import Kube, path
from slipway.deploy.manifest import RELEASE_DIGEST
from slipway.deploy.pod import RUN_CONFIG, S3_ENDPOINT, S3_USE_HTTPS, STORE_KEYS
from slipway.deploy.reach import reach
from slipway.doctor.endpoint import Endpoint
from slipway.doctor.objects import Object, annotations, listed
from slipway.doctor.walk import Finding, broken, ok, skipped
from slipway.errors import NotFoundError, SlipwayError, StoreError
from slipway.store import files
from slipway.store.s3 import S3Store

ROLES = ("eks.amazonaws.com/role-arn", "iam.gke.io/gcp-service-account", "azure.workload.identity/client-id")
AWS = "https://s3.amazonaws.com"
PROVISIONED = "charts/slipway-platform makes it for a team, and its provisioning Job the keys"


def account(e: Endpoint) -> Finding:
    """The pods' ServiceAccount is there."""
    if e.service_account is None:
        return broken(f"there is no ServiceAccount '{e.account}' in '{e.namespace}'", PROVISIONED)
    return ok(e.account)


def secret(e: Endpoint) -> Finding:
    """The ServiceAccount lists a Secret with both keys and KServe's annotations."""
    if not e.storage_uri.startswith("s3://"):
        return _claim(e)
    if not e.secrets:
        if role := role_of(e.service_account):
            return skipped(f"the account takes the role of its annotation {role}")
        return broken(f"ServiceAccount '{e.account}' lists no Secret", f"add the S3 Secret to its `secrets`; {PROVISIONED}")
    if missing := [name for name, value in e.secrets.items() if value is None]:
        return broken(f"Secret '{missing[0]}' of ServiceAccount '{e.account}' is not there", PROVISIONED)
    if (usable := s3_secret(e.secrets.values())) is None:
        return broken(
            f"no Secret of ServiceAccount '{e.account}' has {' and '.join(STORE_KEYS)}: {listed(e.secrets)}", PROVISIONED
        )
    return fields(e.kube, e.namespace, usable)


def fields(kube: Kube, namespace: str, found: Object) -> Finding:
    """Keys and annotations of a Secret, as KServe reads them."""
    name, keys, notes = found["metadata"]["name"], decoded(found), annotations(found)
    if empty := [key for key in STORE_KEYS if not keys.get(key)]:
        return broken(f"Secret '{name}' has no {' and no '.join(empty)}", f"add it to the Secret; {PROVISIONED}")
    if ragged := [key for key in STORE_KEYS if keys[key] != keys[key].strip()]:
        return broken(f"Secret '{name}': {ragged[0]} begins or ends with white space", "make the Secret again without it")
    endpoint = notes.get(S3_ENDPOINT, "")
    config = (kube.find(path("v1", namespace, "configmaps", RUN_CONFIG)) or {}).get("data") or {}
    if not endpoint and (elsewhere := config.get("AWS_ENDPOINT_URL")):
        return broken(
            f"Secret '{name}' has no annotation {S3_ENDPOINT}: KServe would ask AWS, the namespace's store is {elsewhere}",
            f"annotate it with {S3_ENDPOINT}={elsewhere.partition('://')[2] or elsewhere}",
        )
    if "://" in endpoint:
        return broken(
            f"Secret '{name}': {S3_ENDPOINT} is '{endpoint}', and KServe adds http:// itself",
            "leave the scheme away: host:port",
        )
    if endpoint and notes.get(S3_USE_HTTPS, "1") not in ("0", "1"):
        return broken(f"Secret '{name}': {S3_USE_HTTPS} is '{notes[S3_USE_HTTPS]}'", 'make it "0" (http) or "1" (https)')
    return ok(f"Secret {name} for {endpoint_of(found)}")


def release(e: Endpoint) -> Finding:
    """The release is there in full, and the pods' own credential reads it."""
    if not e.storage_uri.startswith("s3://"):
        return skipped(f"{e.storage_uri or 'no storageUri'}: not in S3")
    found = s3_secret(e.secrets.values())
    if found is None:
        return skipped("the pods have no Secret to try: they read with a role")
    root, _, key = e.storage_uri.rpartition("/")
    keys = decoded(found)
    with store_at(e.kube, root, endpoint_of(found), (keys[STORE_KEYS[0]], keys[STORE_KEYS[1]]), e.namespace) as store:
        there = store.entries(key)
        if not there:
            return broken(
                f"{e.storage_uri}: nothing is there", "register the release again, or deploy one that is there: slipway models"
            )
        try:
            manifest = store.manifest(key)
        except NotFoundError:
            return broken(f"{e.storage_uri}: has no {files.MANIFEST}, so it is incomplete", "register the release again")
    for name, (_, size) in manifest.files.items():
        if f"{key}/{name}" not in there or there[f"{key}/{name}"].bytes != size:
            return broken(f"{e.storage_uri}: {name} is missing or cut short", "register the release again, or roll back")
    if e.release_digest and manifest.digest != e.release_digest:
        return broken(
            f"{e.storage_uri} holds release {manifest.digest[:12]}, the object says {e.release_digest[:12]}",
            f"deploy again: storageUri and the annotation {RELEASE_DIGEST} must name one release",
        )
    return ok(f"{len(manifest.files)} files of {manifest.digest[:12]} read with {found['metadata']['name']}")


@contextmanager
def store_at(kube: Kube, uri: str, endpoint: str, keys: tuple[str, str] | None, namespace: str) -> Iterator[S3Store]:
    """The store of a pod's settings, from here. Raises: StoreError: in the words of a pod, whatever way it was asked."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    with reach(kube, endpoint, namespace=namespace) as base:
        try:
            yield S3Store(bucket, prefix, endpoint=base, retry_s=0, credentials=keys)
        except SlipwayError as exc:
            raise StoreError(str(exc).replace(base, endpoint)) from exc


def s3_secret(secrets: Iterable[Object | None]) -> Object | None:
    """The first Secret with an S3 key; KServe takes any that has one."""
    return next((s for s in secrets if s and not set(STORE_KEYS).isdisjoint(s.get("data") or {})), None)


def role_of(account: Object | None) -> str:
    """The annotation by which a cloud gives the ServiceAccount a role instead of keys; empty when it has none."""
    notes = annotations(account)
    return next((role for role in ROLES if role in notes), "")


def decoded(found: Object) -> Mapping[str, str]:
    """The values of a Secret."""
    values = {}
    for key, value in (found.get("data") or {}).items():
        try:
            values[key] = base64.b64decode(value).decode()
        except (binascii.Error, UnicodeDecodeError):
            values[key] = ""
    return values


def endpoint_of(found: Object) -> str:
    """The S3 server's URL, as KServe makes it from the annotations."""
    notes = annotations(found)
    host = notes.get(S3_ENDPOINT, "")
    return f"{'http' if notes.get(S3_USE_HTTPS, '1') == '0' else 'https'}://{host}" if host else AWS


def _claim(e: Endpoint) -> Finding:
    if not e.storage_uri.startswith("pvc://"):
        return skipped(f"{e.storage_uri or 'no storageUri'}: needs no S3 Secret")
    name = e.storage_uri.removeprefix("pvc://").partition("/")[0]
    claim = e.kube.find(path("v1", e.namespace, "persistentvolumeclaims", name))
    if claim is None:
        return broken(f"there is no PersistentVolumeClaim '{name}'", "make it, with the release in it")
    return ok(f"PersistentVolumeClaim {name} is {claim['status'].get('phase')}")
