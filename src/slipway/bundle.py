"""The bundle: everything a model needs to answer, in one directory. Numpy, onnxruntime and JSON; never torch.

    bundle.json            family, architecture, config, labels, preprocessing state, calibration, fingerprints
    weights.safetensors    for restoring the torch module; the server never reads it
    variants/*.onnx        self-contained graphs; a variant is a graph, the engine that runs it, and its precision
    vocabulary.json | tokenizer.json
    train_items.npy        uint64, sorted: the first 8 bytes of the content hash of every training item
    selftest.npz           raw items with the probabilities the exporting machine gave, of added variants their own
    reference.npz          class prior, confidence and size histograms of the validation split, for drift
    MANIFEST.json          SHA-256 sums, written last

A *release* is such a directory with release.json {bundle, variant, order, scores, verdict}: the variant to serve, and all
that may be served, best first; with the model card as a page; and where it is signed with model.sig (see `slipway.signing`).
"""

# N items, K classes

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import signing
from slipway.engines import Feeds, Session, open_session, parts
from slipway.errors import BundleError, DataError, unknown
from slipway.preprocess import Preprocess, Raw, restore
from slipway.store import files

BASE = "onnxruntime-fp32"
"""The variant that every bundle has and every machine runs: others are made of it and compared with it."""
FORMAT = 1
HEATMAP = "heatmap"
"""Name of the graph's second output, which image networks with a closed form of class activation maps have."""
RELEASE = "release.json"
CARD = "model_card.html"
"""The model card as a page, in a release whose gate wrote one."""
OF_RELEASE = frozenset({RELEASE, CARD, signing.SIGNATURE})
"""What a release has beside the files of its bundle."""
SELFTEST = "selftest.npz"
BATCH = 64
"""Items a call of the engine takes in `predict`; larger batches gained nothing on CPUs and cost memory."""
SELFTEST_TOLERANCES = {"fp32": 1e-3, "bf16": 0.03, "int8": 0.03}
"""Largest difference of a probability between the exporting machine and this one, by precision. Those of bf16 and int8 are
chosen, not measured: no two kinds of processor were at hand for them."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle or release: answers raw items with probabilities. Safe to call from several threads."""

    path: Path
    digest: str
    """Identity of the bundle's files; for a release, without OF_RELEASE."""
    meta: Mapping[str, Any]
    """bundle.json."""
    release: Mapping[str, Any] | None
    """release.json, or None for a bundle that was not released."""
    variant: str
    preprocess: Preprocess
    _session: Session = field(repr=False)
    passed_over: Mapping[str, str] = field(default_factory=dict)
    """Variants that the release would rather serve, and why this machine cannot."""

    @property
    def family(self) -> str:
        """`cv`, `defect` or `nlp`."""
        return str(self.meta["family"])

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return tuple(self.meta["labels"])

    def predict(self, items: Sequence[Raw], *, observe: Callable[[str, float], None] | None = None) -> NDArray[np.float32]:
        """Probabilities [N, K] of raw items, through the preprocessing and graph that are served.

        Args:
            observe: told the seconds of `preprocess` and `model`, once per BATCH items.
        Raises: DataError: an item cannot be read; the message starts with its position, `item 3: …`.
        """
        parts = []
        for start in range(0, len(items), BATCH):
            began = time.perf_counter()
            try:
                feeds = self.preprocess.encode(items[start : start + BATCH])
            except DataError as exc:
                if start == 0:
                    raise
                position, _, rest = str(exc).removeprefix("item ").partition(":")
                raise DataError(f"item {start + int(position)}:{rest}") from exc
            encoded = time.perf_counter()
            parts.append(self.run(feeds))
            if observe is not None:
                observe("preprocess", encoded - began)
                observe("model", time.perf_counter() - encoded)
        return np.concatenate(parts) if parts else np.empty((0, len(self.labels)), np.float32)

    def run(self, feeds: Feeds) -> NDArray[np.float32]:
        """Probabilities [N, K] of already preprocessed graph inputs (see `Preprocess.encode`)."""
        probabilities: NDArray[np.float32] = self._session.run(["probabilities"], feeds)[0]
        return probabilities

    @property
    def has_heatmap(self) -> bool:
        """Whether `heatmap` answers: the network's head is linear in globally averaged features."""
        return HEATMAP in self._session.outputs

    @property
    def card(self) -> str:
        """The model card's page, HTML; empty where none came with it."""
        path = self.path / CARD
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def size_bytes(self) -> int:
        """Of the graph's file."""
        size: int = (self.path / self.meta["variants"][self.variant]["file"]).stat().st_size
        return size

    @property
    def opened(self) -> Session:
        """What runs its graph."""
        return self._session

    def session(self, *, threads: int, callers: int = 1) -> Session:
        """The same graph, opened once more, see `engines.open_session`."""
        about = self.meta["variants"][self.variant]
        return open_session(
            self.path / about["file"],
            engine=about["engine"],
            precision=about["precision"],
            threads=threads,
            callers=callers,
        )

    def run_by(self, session: Session) -> "Bundle":
        """The same bundle, whose graph is run by `session`."""
        return replace(self, _session=session)

    def heatmap(self, feeds: Feeds) -> NDArray[np.float32]:
        """What each cell of the last features adds to each class's logit [N, K, h, w], of graph inputs as in `run`."""
        heatmap: NDArray[np.float32] = self._session.run([HEATMAP], feeds)[0]
        return heatmap


def save(
    target: Path,
    *,
    meta: Mapping[str, Any],
    preprocess: Preprocess,
    weights: Mapping[str, NDArray[Any]],
    variants: Mapping[str, Path],
    train_items: NDArray[np.uint64],
    selftest_items: Sequence[bytes],
    reference: Mapping[str, NDArray[Any]],
    timings: Mapping[str, float],
) -> str:
    """Write a bundle, complete or not at all, and return its digest.

    Args:
        meta: bundle.json without `format`, `preprocess` and `variants`; needs family, architecture and labels.
        variants: `<engine>-<precision>` -> ONNX file with an output `probabilities` FP32 [N, K], and if it has one `heatmap`
            FP32 [N, K, h, w]; the first is the default.
        train_items: sorted; first 8 bytes of the content hash of each training item.
        selftest_items: synthetic items as a client would send them; the expected answers are computed here.
        timings: seconds by name; outside the digest.
    """
    import shutil

    from safetensors.numpy import save_file

    arrays: dict[str, Any] = dict(reference)
    with files.atomic_dir(target) as scratch:
        (scratch / "variants").mkdir()
        entries = {}
        for name, source in variants.items():
            engine, precision = parts(name)
            entries[name] = {"file": f"variants/{name}.onnx", "engine": engine, "precision": precision}
            shutil.copyfile(source, scratch / f"variants/{name}.onnx")
        state = preprocess.save(scratch)
        files.write_json(
            scratch / "bundle.json", {**meta, "format": FORMAT, "preprocess": state, "variants": entries}, sort_keys=False
        )
        save_file({k: np.ascontiguousarray(v) for k, v in weights.items()}, scratch / "weights.safetensors")
        np.save(scratch / "train_items.npy", train_items)
        np.savez(scratch / "reference.npz", **arrays)
        files.write_json(scratch / "timings.json", dict(timings))
        session = open_session(scratch / entries[next(iter(entries))]["file"])
        expected = session.run(["probabilities"], preprocess.encode(selftest_items))[0]
        data, offsets = pack_bytes(selftest_items)
        np.savez(scratch / SELFTEST, bytes=data, offsets=offsets, probabilities=expected)
    return files.read_manifest(target).digest


def with_variants(bundle: Bundle, target: Path, variants: Mapping[str, tuple[Path | str, Mapping[str, Any]]]) -> str:
    """Write a bundle with further variants beside those of another, complete or not at all, and return its digest.

    Args:
        variants: `<engine>-<precision>` -> ONNX file, as in `save`, or the name of a variant whose file it runs; and what is
            to be known of its making, JSON values. One that is there already is replaced.
    Raises: BundleError: see `engines.open_session`.
    """
    import shutil

    with np.load(bundle.path / SELFTEST) as stored:
        answers: dict[str, Any] = dict(stored)
    feeds = bundle.preprocess.encode(selftest_items(bundle))
    entries = dict(bundle.meta["variants"])
    with files.atomic_dir(target) as scratch:
        left_out = shutil.ignore_patterns(files.MANIFEST, *OF_RELEASE)
        shutil.copytree(bundle.path, scratch, dirs_exist_ok=True, ignore=left_out)
        for name, (source, about) in variants.items():
            engine, precision = parts(name)
            file = entries[source]["file"] if isinstance(source, str) else f"variants/{name}.onnx"
            entries[name] = {"file": file, "engine": engine, "precision": precision, **about}
            if isinstance(source, Path):
                shutil.copyfile(source, scratch / file)
            session = open_session(scratch / file, engine=engine, precision=precision)
            answers[_answers_of(name)] = session.run(["probabilities"], feeds)[0]
        files.write_json(scratch / "bundle.json", {**bundle.meta, "variants": entries}, sort_keys=False)
        np.savez(scratch / SELFTEST, **answers)
    return files.read_manifest(target).digest


def write_release(
    bundle: Path, target: Path, about: Mapping[str, Any], *, card: Path | None = None, private_key: Path | None = None
) -> None:
    """Write a release, complete or not at all: the files of a bundle, release.json, the card, and with a key its signature.

    Args:
        about: bundle (its digest), variant, order, scores, verdict.
        card: the model card's page, if there is one.
        private_key: see `signing.sign`.
    Raises: ConfigError: the key cannot be used.
    """
    import shutil

    with files.atomic_dir(target) as scratch:
        shutil.copytree(bundle, scratch, dirs_exist_ok=True, ignore=shutil.ignore_patterns(files.MANIFEST))
        files.write_json(scratch / RELEASE, dict(about))
        if card is not None:
            shutil.copyfile(card, scratch / CARD)
        if private_key is not None:
            signing.sign(scratch, private_key, name=about["bundle"])


def _answers_of(variant: str) -> str:
    """Name in selftest.npz of the answers of a variant that was added; the others' are `probabilities`."""
    return f"probabilities-{variant}"


def load(
    path: Path,
    *,
    variant: str = "",
    threads: int = 0,
    callers: int = 1,
    engine: str = "",
    prove: bool = False,
    public_key: Path | None = None,
) -> Bundle:
    """Verify a bundle or release against its manifest and open one of its variants.

    Args:
        variant: name of a variant; empty means the first of the release's order that this machine can run, or of a bundle
            the first.
        threads: of one call of the engine; 0 leaves the choice to it.
        callers: see `engines.open_session`.
        engine: runs the variant instead of its own, see `engines.ENGINES`.
        prove: also ask for the self-test's answers; a variant that gives others cannot be run.
        public_key: its owner must have signed these files, see `signing.verify`; None: nobody must.
    Raises:
        BundleError: incomplete, altered, not signed, of a newer format, without that variant, or not runnable here.
        ConfigError: the key cannot be used.
    """
    manifest = files.verify(path)
    if public_key is not None:
        signing.verify(path, manifest, public_key)
    meta = _read_json(path / "bundle.json")
    if meta.get("format") != FORMAT:
        raise BundleError(
            f"{path}: bundle format {meta.get('format')}, this version reads {FORMAT}; upgrade slipway or export again"
        )
    _require(meta, ("family", "architecture", "labels", "preprocess", "variants"), path / "bundle.json")
    release = _read_json(path / RELEASE) if RELEASE in manifest.files else None
    digest = files.digest_of({k: v for k, v in manifest.files.items() if k not in OF_RELEASE})
    if release is not None:
        _require(release, ("bundle", "variant"), path / RELEASE)
    if release is not None and release["bundle"] != digest:
        raise BundleError(f"{path}: {RELEASE} is for bundle {release['bundle'][:12]}, the files are {digest[:12]}")
    preprocess = restore(meta["preprocess"], path)
    passed_over: dict[str, str] = {}
    wanted = [variant] if variant else (release.get("order") or [release["variant"]] if release else [*meta["variants"]][:1])
    for name in wanted:
        if name not in meta["variants"]:
            raise BundleError(unknown(f"{path}: variant", name, meta["variants"]))
        about = meta["variants"][name]
        try:
            session = open_session(
                path / about["file"],
                engine=engine or about["engine"],
                precision=about["precision"],
                threads=threads,
                callers=callers,
            )
            found = Bundle(path, digest, meta, release, name, preprocess, session, passed_over)
            if prove:
                selftest(found)
            return found
        except BundleError as exc:
            passed_over[name] = str(exc)
    if len(passed_over) == 1:
        raise BundleError(*passed_over.values())
    raise BundleError(f"{path}: this machine runs none of its variants: {'; '.join(passed_over.values())}")


def selftest_items(bundle: Bundle) -> list[Raw]:
    """The synthetic items of the self-test, as a client would send them."""
    with np.load(bundle.path / SELFTEST) as stored:
        return [*unpack_bytes(stored["bytes"], stored["offsets"])]


def selftest(bundle: Bundle) -> float:
    """Answer the stored items again; returns the largest difference of a probability.

    Raises: BundleError: above SELFTEST_TOLERANCES: this machine or engine does not give the exporter's answers.
    """
    with np.load(bundle.path / SELFTEST) as stored:
        own = _answers_of(bundle.variant)
        expected = stored[own if own in stored else "probabilities"]
    found = bundle.predict(selftest_items(bundle))
    difference = float(np.abs(found - expected).max())
    allowed = SELFTEST_TOLERANCES[bundle.meta["variants"][bundle.variant]["precision"]]
    if not difference <= allowed:  # NaN fails, too
        raise BundleError(
            f"{bundle.path}: self-test of {bundle.variant} differs by {difference:.2g}, allowed is {allowed:g}; "
            f"this machine does not give the exporter's answers"
        )
    return difference


def pack_bytes(items: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Byte strings as one uint8 array and N+1 offsets: npz without pickle."""
    offsets = np.cumsum([0, *(len(i) for i in items)]).astype(np.int64)
    return np.frombuffer(b"".join(items), np.uint8), offsets


def unpack_bytes(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> list[bytes]:
    """The inverse of `pack_bytes`."""
    return [data[a:b].tobytes() for a, b in pairwise(offsets)]


def _require(value: Mapping[str, Any], names: Sequence[str], path: Path) -> None:
    if missing := [name for name in names if not value.get(name)]:
        raise BundleError(f"{path}: has no {', '.join(missing)}; export or register again")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise BundleError(f"{path}: cannot be read ({exc})") from exc
    if not isinstance(value, dict):
        raise BundleError(f"{path}: must be a JSON object")
    return value
