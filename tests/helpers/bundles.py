"""Tiny real bundles, one per family, made without torch: graphs by onnx.helper, written by bundle.save.

The weights are random, but of a size that tells inputs apart: another image or word gives another answer.
"""

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save
from PIL import Image

from slipway import bundle as bundles
from slipway.preprocess import Preprocess
from slipway.preprocess.image import ImagePreprocess
from slipway.preprocess.text import TfidfPreprocess
from slipway.store import files

LABELS = {"cv": ("circle", "square", "triangle"), "defect": ("crazing", "scratches"), "nlp": ("negative", "positive")}
CARD_PAGE = (
    "<!doctype html><html><head><style>p { color: red }</style></head>"
    "<body><p>Intended use</p><script>alert(1)</script></body></html>"
)
FAMILIES = tuple(LABELS)
WORDS = ["a", "and", "bad", "dull", "film", "fine", "good", "great", "is", "it", "movie", "not", "plot", "story", "the", "was"]


def make_bundle(family: str, target: Path, *, seed: int = 0, labels: Sequence[str] = (), **about: object) -> Path:
    """A bundle of `family` at `target`: cv 32 px RGB, defect 64 px grayscale, nlp TF-IDF over WORDS.

    Args:
        labels: instead of those of LABELS.
        about: further entries of bundle.json.
    """
    rng = np.random.default_rng(seed)
    labels = labels or LABELS[family]
    preprocess: Preprocess
    if family == "nlp":
        vocabulary = WORDS + [f"{a} {b}" for a, b in pairwise(WORDS)]
        preprocess = TfidfPreprocess(vocabulary, ngrams=2)
        weights = {"coefficients": rng.normal(0, 0.5, (len(vocabulary), len(labels))).astype(np.float32)}
        model = _text_graph(weights["coefficients"])
    else:
        px, channels = (32, 3) if family == "cv" else (64, 1)
        preprocess = ImagePreprocess(height_px=px, width_px=px, channels=channels)
        weights = {"head": rng.normal(0, 0.03, (px * px * channels, len(labels))).astype(np.float32)}
        model = _image_graph(weights["head"], px, channels)
    scratch = target.with_name(f"{target.name}.onnx")
    scratch.parent.mkdir(parents=True, exist_ok=True)
    save(model, scratch)
    bundles.save(
        target,
        meta={"family": family, "architecture": f"tiny_{family}", "labels": list(labels), "config": {"seed": seed}} | about,
        preprocess=preprocess,
        weights=weights,
        variants={bundles.BASE: scratch},
        train_items=np.arange(3, dtype=np.uint64),
        selftest_items=make_items(family, 4, seed=99),
        reference={"class_prior": np.full(len(labels), 1 / len(labels), np.float32)},
        timings={"export_s": 0.1},
    )
    scratch.unlink()
    return target


def make_releases(root: Path) -> dict[str, Path]:
    """A release per family below `root`, each with a card."""
    (root / "card").write_text(CARD_PAGE, encoding="utf-8")
    return {
        family: make_release(make_bundle(family, root / f"{family}-bundle"), root / family, card=root / "card")
        for family in FAMILIES
    }


def make_release(
    bundle: Path,
    target: Path,
    *,
    order: Sequence[str] = (bundles.BASE,),
    card: Path | None = None,
    private_key: Path | None = None,
) -> Path:
    """A release of `bundle`, as the register step writes it; `order`: the variants that may be served."""
    about = {"bundle": files.read_manifest(bundle).digest, "variant": order[0], "order": [*order]}
    about |= {"scores": "0" * 64, "verdict": "1" * 64}
    bundles.write_release(bundle, target, about, card=card, private_key=private_key)
    return target


def make_items(family: str, num_items: int, *, seed: int = 0) -> list[bytes]:
    """Items as a client has them: PNG files, or texts in UTF-8."""
    rng = np.random.default_rng(seed)
    if family == "nlp":
        return [" ".join(rng.choice(WORDS, size=rng.integers(3, 12))).encode() for _ in range(num_items)]
    return [png(image(rng, 40 if family == "cv" else 70, 3 if family == "cv" else 1)) for _ in range(num_items)]


def image(rng: np.random.Generator, px: int, channels: int) -> np.ndarray:
    """Smooth random pixels, uint8 [px, px, channels]."""
    small = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    pixels = np.asarray(small.resize((px, px), Image.Resampling.BILINEAR))
    return pixels[:, :, :channels]


def png(pixels: np.ndarray) -> bytes:
    """uint8 [H, W, 1 or 3] -> PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _image_graph(head: np.ndarray, px: int, channels: int):
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["floats", "middle"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["scaled"]),
        helper.make_node("Flatten", ["scaled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = {"middle": np.float32(128), "scale": np.float32(1 / 64), "head": head}
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", px, px, channels])]
    return _model(nodes, inputs, constants, head.shape[1])


def _text_graph(coefficients: np.ndarray):
    nodes = [
        helper.make_node("Gather", ["coefficients", "ids"], ["rows"]),
        helper.make_node("Unsqueeze", ["counts", "last"], ["weights"]),
        helper.make_node("Mul", ["rows", "weights"], ["terms"]),
        helper.make_node("ReduceSum", ["terms", "middle"], ["logits"], keepdims=0),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = {"coefficients": coefficients, "last": np.array([2]), "middle": np.array([1])}
    inputs = [
        helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", "L"]),
        helper.make_tensor_value_info("counts", TensorProto.FLOAT, ["N", "L"]),
    ]
    return _model(nodes, inputs, constants, coefficients.shape[1])


def _model(nodes, inputs, constants, num_classes):
    graph = helper.make_graph(
        nodes,
        "tiny",
        inputs,
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", num_classes])],
        initializer=[numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
