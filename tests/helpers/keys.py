"""Real elliptic curve keys, as PEM files."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def make_key(target: Path, curve: type[ec.EllipticCurve] = ec.SECP256R1) -> tuple[Path, Path]:
    """A new private key at `target`.pem and its public one at `target`.pub."""
    key = ec.generate_private_key(curve())
    private, public = target.with_suffix(".pem"), target.with_suffix(".pub")
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public
