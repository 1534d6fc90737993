"""Signatures of releases by an elliptic curve key, in the format of OpenSSF Model Signing: its own tool verifies them, too.

    model_signing verify key RELEASE --signature RELEASE/model.sig --public_key KEY.pub

`model.sig` is a Sigstore bundle: a DSSE envelope around an in-toto statement that lists every file with its SHA-256. It does
not list itself, nor the manifest, which is written after it and follows from the other files.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.errors import BundleError, ConfigError
from slipway.store import files

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey

SIGNATURE = "model.sig"
PRIVATE_KEY, PUBLIC_KEY = "SLIPWAY_MODEL_PRIVATE_KEY", "SLIPWAY_MODEL_PUBLIC_KEY"
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://model_signing/signature/v1.0"
CURVES = ("secp256r1", "secp384r1", "secp521r1")
METHOD, HASH = "files", "sha256"
KIND = (MEDIA_TYPE, PAYLOAD_TYPE, STATEMENT, PREDICATE, METHOD, HASH)
"""What is written and read, of all that the format allows."""


def sign(directory: Path, private_key: Path, *, name: str) -> None:
    """Write the signature of all files below `directory`, to be listed by the manifest that is written next.

    Equal files and keys give equal signatures, so that signing twice makes the same artifact.

    Args:
        private_key: PEM without a password, of the curve P-256, P-384 or P-521.
        name: of the model, for people.
    Raises: ConfigError: no such key, or `cryptography` is not installed.
    """
    key = _key(private_key, PRIVATE_KEY)
    sums = {path: files.sha256_file(directory / path) for path in files.present(directory)}
    resources = [{"name": path, "algorithm": HASH, "digest": sums[path]} for path in sorted(sums)]
    root = hashlib.sha256(b"".join(bytes.fromhex(r["digest"]) for r in resources)).hexdigest()
    ignored = [SIGNATURE, files.MANIFEST]
    how = {"method": METHOD, "hash_type": HASH, "allow_symlinks": False, "ignore_paths": ignored}
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {HASH: root}}],
        "predicateType": PREDICATE,
        "predicate": {"serialization": how, "resources": resources},
    }
    payload = json.dumps(statement).encode()
    public = key.public_key()
    signed = {"sig": _text(key.sign(_encoded(payload), _algorithm(public))), "keyid": ""}
    material = {"publicKey": {"hint": _hint(public)}, "tlogEntries": []}
    envelope = {"payload": _text(payload), "payloadType": PAYLOAD_TYPE, "signatures": [signed]}
    files.write_json(
        directory / SIGNATURE, {"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope}
    )


def verify(directory: Path, manifest: files.Manifest, public_key: Path) -> None:
    """Check that the files of a verified manifest are those that the key's owner signed: no other, none less.

    Raises:
        BundleError: unsigned, signed by another key, or not what was signed; the message names the file.
        ConfigError: no such key, or `cryptography` is not installed.
    """
    key = _key(public_key, PUBLIC_KEY)
    if SIGNATURE not in manifest.files:
        raise BundleError(f"{directory}: is not signed, and {PUBLIC_KEY} asks for it; register it again with {PRIVATE_KEY} set")
    where = directory / SIGNATURE
    signed = _signed(where, key, public_key)
    found = {name: sha256 for name, (sha256, _) in manifest.files.items() if name != SIGNATURE}
    for name in sorted(signed.keys() | found.keys()):
        if signed.get(name) != found.get(name):
            state = "missing" if name not in found else "added" if name not in signed else "altered"
            raise BundleError(f"{directory / name}: {state} since the release was signed; fetch or register it again")


def _signed(where: Path, key: "EllipticCurvePublicKey", public_key: Path) -> Mapping[str, str]:
    """Path -> SHA-256 hex, as signed."""
    from cryptography.exceptions import InvalidSignature

    other = BundleError(
        f"{where}: was not made by the key of {public_key}; set {PUBLIC_KEY} to the signer's, or register again with yours"
    )
    try:
        bundle: dict[str, Any] = json.loads(where.read_bytes())
        envelope = bundle["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        if (hint := bundle["verificationMaterial"]["publicKey"].get("hint")) and hint != _hint(key):
            raise other
        key.verify(signature, _encoded(payload), _algorithm(key))
        statement = json.loads(payload)
        predicate = statement["predicate"]
        how = (predicate["serialization"]["method"], predicate["serialization"]["hash_type"])
        kind = (bundle["mediaType"], envelope["payloadType"], statement["_type"], statement["predicateType"], *how)
        if kind != KIND:
            raise BundleError(f"{where}: is {' '.join(kind)}, allowed is {' '.join(KIND)}; sign files with SHA-256")
        return {resource["name"]: resource["digest"] for resource in predicate["resources"]}
    except InvalidSignature:
        raise other from None
    except BundleError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as exc:
        raise BundleError(f"{where}: is no signature ({type(exc).__name__}: {exc}); register the release again") from exc


def _key(path: Path, variable: str) -> Any:
    """The private key of a file, or the public one, by the variable that names it."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
    except ModuleNotFoundError as exc:
        raise ConfigError(f"{variable}: signatures need a further package; pip install 'slipway[signing]'") from exc
    try:
        data = path.read_bytes()
        key = load_pem_private_key(data, None) if variable == PRIVATE_KEY else load_pem_public_key(data)
    except OSError as exc:
        raise ConfigError(f"{variable}: {path}: cannot be read ({exc.strerror})") from exc
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ConfigError(f"{variable}: {path}: must be a PEM file of that key, without a password") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise ConfigError(f"{variable}: {path}: must be a key of the curve P-256, P-384 or P-521")
    return key


def _algorithm(key: "EllipticCurvePublicKey") -> "ECDSA":
    """The format fixes the hash by the curve."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    by_size = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    return ec.ECDSA(by_size[key.curve.key_size], deterministic_signing=True)


def _hint(key: "EllipticCurvePublicKey") -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _encoded(payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
