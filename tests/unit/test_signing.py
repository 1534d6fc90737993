import base64
import json
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, PublicFormat

from slipway import bundle as bundles
from slipway import references, settings, signing
from slipway.errors import BundleError, ConfigError
from slipway.store import files
from slipway.store.uri import fetch, open_store
from tests.helpers.bundles import make_bundle, make_release
from tests.helpers.keys import make_key

CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """(private, public) of the signer."""
    return make_key(tmp_path_factory.mktemp("keys") / "signer")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle("nlp", tmp_path_factory.mktemp("bundle") / "nlp")


@pytest.fixture
def release(bundle, keys, tmp_path):
    return make_release(bundle, tmp_path / "release", private_key=keys[0])


def test_signed_release_loads_and_keeps_the_digest_of_its_bundle(bundle, release, keys, tmp_path):
    loaded = bundles.load(release, public_key=keys[1], prove=True)
    assert loaded.digest == files.read_manifest(bundle).digest
    unsigned = make_release(bundle, tmp_path / "unsigned")
    assert files.read_manifest(unsigned).digest != files.read_manifest(release).digest, "another artifact"
    assert bundles.load(unsigned).digest == bundles.load(release).digest == loaded.digest


@pytest.mark.parametrize("curve", CURVES)
def test_signing_twice_makes_the_same_artifact(bundle, tmp_path, curve):
    private, public = make_key(tmp_path / "key", curve)
    first, second = (make_release(bundle, tmp_path / name, private_key=private) for name in ("a", "b"))
    assert files.read_manifest(first).digest == files.read_manifest(second).digest
    bundles.load(second, public_key=public)


def test_signature_survives_store_and_variants_made_of_it_have_none(release, keys, tmp_path):
    store = open_store(str(tmp_path / "store"))
    uri = store.put_dir(release, "models/nlp/1")
    assert bundles.load(fetch(uri, tmp_path / "cache"), public_key=keys[1])
    made = tmp_path / "more"
    bundles.with_variants(bundles.load(release), made, {})
    assert not (made / signing.SIGNATURE).exists()
    assert files.read_manifest(made).digest == bundles.load(release).digest


def rewritten(release, change):
    """The release after a thief's change, with a manifest that fits."""
    change(release)
    files.write_manifest(release)
    return release


def append(path):
    path.write_bytes(path.read_bytes() + b" ")


def resign(change):
    """What changes the signature file's JSON."""

    def edit(release):
        value = json.loads((release / signing.SIGNATURE).read_text())
        change(value)
        (release / signing.SIGNATURE).write_text(json.dumps(value))

    return edit


def other_payload(value):
    payload = json.loads(base64.b64decode(value["dsseEnvelope"]["payload"]))
    payload["predicate"]["resources"].pop()
    value["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: (r / signing.SIGNATURE).unlink(), "is not signed, and SLIPWAY_MODEL_PUBLIC_KEY asks for it; register it"),
        (lambda r: append(r / "variants/onnxruntime-fp32.onnx"), r"fp32\.onnx: altered since the release was signed"),
        (lambda r: append(r / "timings.json"), r"timings\.json: altered since"),
        (lambda r: append(r / bundles.RELEASE), r"release\.json: altered since"),
        (lambda r: (r / "variants/extra.onnx").write_bytes(b"x"), r"variants/extra\.onnx: added since"),
        (lambda r: (r / ".gitignore").write_bytes(b"x"), r"\.gitignore: added since"),
        (lambda r: (r / "timings.json").unlink(), r"timings\.json: missing since"),
        (lambda r: (r / signing.SIGNATURE).write_text("no json"), r"model\.sig: is no signature \(JSONDecodeError"),
        (lambda r: (r / signing.SIGNATURE).write_text("[]"), r"model\.sig: is no signature"),
        (resign(lambda v: v.pop("dsseEnvelope")), r"model\.sig: is no signature \(KeyError: 'dsseEnvelope'\)"),
        (resign(lambda v: v["dsseEnvelope"].update(signatures=[])), r"model\.sig: is no signature \(IndexError"),
        (resign(lambda v: v["dsseEnvelope"].update(payload="?")), r"model\.sig: is no signature"),
        (resign(lambda v: v.update(mediaType="text/plain")), r"model\.sig: is text/plain "),
        (resign(other_payload), "was not made by the key"),
    ],
)  # fmt: skip
def test_changed_release_is_refused_in_one_line(release, keys, change, words):
    with pytest.raises(BundleError, match=words) as caught:
        bundles.load(rewritten(release, change), public_key=keys[1])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("hint", [True, False])
def test_signature_by_another_key_is_refused(release, tmp_path, hint):
    _, other = make_key(tmp_path / "other")
    if not hint:
        rewritten(release, resign(lambda v: v["verificationMaterial"]["publicKey"].update(hint=None)))
    with pytest.raises(BundleError, match=r"model\.sig: was not made by the key of .*other\.pub; set SLIPWAY_MODEL_PUBLIC_KEY"):
        bundles.load(release, public_key=other)


def test_signature_of_another_release_is_refused(release, keys, tmp_path):
    other = make_release(make_bundle("nlp", tmp_path / "bundle", seed=1), tmp_path / "other", private_key=keys[0])
    moved = rewritten(release, lambda r: shutil.copyfile(other / signing.SIGNATURE, r / signing.SIGNATURE))
    with pytest.raises(BundleError, match=r"bundle\.json: altered since the release was signed"):
        bundles.load(moved, public_key=keys[1])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.with_suffix(".other").touch(), "cannot be read .No such file"),
        (lambda path: path.write_text("not a key"), "must be a PEM file of that key, without a password"),
        (
            lambda path: path.write_bytes(
                ec.generate_private_key(ec.SECP256R1()).private_bytes(
                    Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
                )
            ),
            "must be a PEM file of that key, without a password",
        ),
        (lambda path: make_key(path, ec.BrainpoolP256R1), "must be a key of the curve P-256, P-384 or P-521"),
        (lambda path: make_key(path, ec.SECP256K1), "must be a key of the curve P-256, P-384 or P-521"),
    ],
)
def test_key_that_cannot_sign_is_one_line_and_leaves_no_release(bundle, tmp_path, make, words):
    path = tmp_path / "key.pem"
    make(path)
    with pytest.raises(ConfigError, match=f"SLIPWAY_MODEL_PRIVATE_KEY: .*key.pem: {words}"):
        make_release(bundle, tmp_path / "release", private_key=path)
    assert not (tmp_path / "release").exists()


def test_key_that_cannot_verify_is_one_line(release, keys, tmp_path):
    path = tmp_path / "key.pub"
    path.write_bytes(
        ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    for wrong, words in ((path, "must be a key of the curve"), (keys[0], "must be a PEM file of that key")):
        with pytest.raises(ConfigError, match=f"SLIPWAY_MODEL_PUBLIC_KEY: .*: {words}"):
            bundles.load(release, public_key=wrong)


def test_settings_name_the_keys_and_releases_opened_by_reference_are_checked(bundle, release, keys, tmp_path):
    env = {"SLIPWAY_HOME": str(tmp_path), "SLIPWAY_MODEL_PRIVATE_KEY": "", "SLIPWAY_MODEL_PUBLIC_KEY": str(keys[1])}
    asked = settings.load(env)
    assert asked.model_private_key is None
    assert asked.model_public_key == keys[1]
    assert references.open_model(str(release), asked)
    assert references.open_model(str(bundle), asked), "not released yet"
    with pytest.raises(BundleError, match="is not signed"):
        references.open_model(str(make_release(bundle, tmp_path / "unsigned")), asked)


def test_without_the_package_the_message_says_what_to_install(release, keys):
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from pathlib import Path; from slipway import bundle\n"
        "bundle.load(Path(sys.argv[1])); print('loaded')\n"
        "bundle.load(Path(sys.argv[1]), public_key=Path(sys.argv[2]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(release), str(keys[1])], capture_output=True, text=True)
    assert done.stdout == "loaded\n", "who verifies nothing needs nothing"
    assert "ConfigError: SLIPWAY_MODEL_PUBLIC_KEY: signatures need a further package; pip install" in done.stderr


def official(*args):
    """The command line of OpenSSF's own package."""
    pytest.importorskip("model_signing")
    command = [sys.executable, "-m", "model_signing", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def by_theirs(release, public):
    return official("verify", "key", release, "--signature", release / signing.SIGNATURE, "--public_key", public)


@pytest.mark.parametrize("curve", CURVES)
def test_their_verifier_takes_our_signature_and_refuses_what_we_refuse(bundle, tmp_path, curve):
    private, public = make_key(tmp_path / "key", curve)
    release = make_release(bundle, tmp_path / "release", private_key=private)
    done = by_theirs(release, public)
    assert done.returncode == 0, done.stderr
    _, other = make_key(tmp_path / "other", curve)
    assert by_theirs(release, other).returncode != 0
    append(release / "bundle.json")
    assert by_theirs(release, public).returncode != 0


@pytest.mark.parametrize("curve", CURVES)
def test_our_verifier_takes_their_signature(bundle, tmp_path, curve):
    private, public = make_key(tmp_path / "key", curve)
    release = make_release(bundle, tmp_path / "release")
    target = release / signing.SIGNATURE
    ignored = ("--ignore-paths", release / files.MANIFEST)
    done = official("sign", "key", release, "--signature", target, "--private_key", private, *ignored)
    assert done.returncode == 0, done.stderr
    files.write_manifest(release)
    assert bundles.load(release, public_key=public)
    with pytest.raises(BundleError, match=r"bundle\.json: altered since"):
        bundles.load(rewritten(release, lambda r: append(r / "bundle.json")), public_key=public)
