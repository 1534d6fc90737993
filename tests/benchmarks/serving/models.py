"""The models under load: the architectures with random weights, as fast as trained ones, by the product's own exporter."""

# N items, C channels, H/W px

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import nn

from slipway import bundle as bundles
from slipway import provenance
from slipway.data.datasets import open_dataset
from slipway.export import torch_graph
from slipway.export.reference import selftest_items
from slipway.models import architectures, text
from slipway.models.restore import Restored
from slipway.preprocess import Preprocess
from slipway.preprocess.image import ImagePreprocess
from slipway.store import files
from tests.helpers.bundles import image, make_release, png

CNN = "small_cnn"
CNN_SHAPE = (3, 200, 200)
SENTENCE = "it 's a charming and often affecting journey , told with warmth and a dry sense of humour ."
CLASSES, MAX_TOKENS, CALIBRATION = 10, 64, 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """How a model is made, and what it is asked."""

    family: str
    architecture: str
    image_px: int = 0
    channels: int = 3
    item: Callable[[int], Any]
    """(seed) -> one raw item as a client has it; of CNN, FP32 [3, 200, 200]."""


def _jpeg(pixels: np.ndarray, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _photo(seed: int) -> bytes:
    """Smooth with some grain, as photos are: about 20 kB."""
    rng = np.random.default_rng(seed)
    smooth = image(rng, 320, 3)[:240].astype(np.int16)
    return _jpeg(np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8), 85)


def _steel(seed: int) -> bytes:
    """An embedded surface at the size of NEU-CLS's images."""
    items = list(open_dataset("steel", family="defect", size=CALIBRATION).items)
    small = Image.fromarray(items[seed % len(items)].content[..., 0])
    return _jpeg(np.asarray(small.resize((200, 200), Image.Resampling.BICUBIC)), 90)


def _tensor(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=CNN_SHAPE).astype(np.float32)


MODELS: Mapping[str, Spec] = {
    "resnet18_224": Spec(family="cv", architecture="resnet18", image_px=224, item=_photo),
    "mobilenet_v2_224": Spec(family="cv", architecture="mobilenet_v2", image_px=224, item=_photo),
    "minilm": Spec(family="nlp", architecture="hf_encoder", item=lambda seed: " ".join([SENTENCE, *["good"] * seed]).encode()),
    "defect_base_200": Spec(family="defect", architecture="defect_base", image_px=200, channels=1, item=_steel),
    "resnet18_32": Spec(
        family="cv", architecture="resnet18", image_px=32, item=lambda seed: png(image(np.random.default_rng(seed), 32, 3))
    ),
    CNN: Spec(family="onnx", architecture="three convolutions", item=_tensor),
}


def make(name: str, cache: Path) -> Path:
    """The release of a model, or of CNN its ONNX file, below `cache`; made anew when the package's code has changed."""
    target = cache / f"{name}-{provenance.code_fingerprint()[:12]}{'.onnx' if name == CNN else ''}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        if name == CNN:
            files.write_bytes(target, _small_cnn().SerializeToString(deterministic=True))
        else:
            _make_release(MODELS[name], target)
    return target


def graph_of(path: Path) -> Path:
    """The ONNX file that is served: what peers get."""
    return path if path.suffix == ".onnx" else path / "variants" / f"{bundles.BASE}.onnx"


def _make_release(spec: Spec, target: Path) -> None:
    torch.manual_seed(0)
    items = [spec.item(seed) for seed in range(CALIBRATION)]
    model, preprocess = _network(spec)
    _spread(model, {name: torch.from_numpy(array) for name, array in preprocess.encode(items).items()})
    labels = [f"class{k}" for k in range(CLASSES)]
    size = {"height_px": spec.image_px, "width_px": spec.image_px, "channels": spec.channels} if spec.image_px else None
    meta: dict[str, Any] = {
        "family": spec.family,
        "architecture": spec.architecture,
        "labels": labels,
        "input": size,
        "config": {},
    }
    checkpoint, graph, bundle = (target.with_name(f"{target.name}.{part}") for part in ("checkpoint", "onnx", "bundle"))
    with files.atomic_dir(checkpoint) as scratch:
        state = preprocess.save(scratch)
    try:
        torch_graph.write_graph(Restored(checkpoint, meta | {"preprocess": state}, preprocess, model), 1.0, graph)
        bundles.save(
            bundle,
            meta=meta,
            preprocess=preprocess,
            weights={},
            variants={bundles.BASE: graph},
            train_items=np.arange(CALIBRATION, dtype=np.uint64),
            selftest_items=selftest_items(meta),
            reference={"class_prior": np.full(CLASSES, 1 / CLASSES, np.float32)},
            timings={},
        )
        make_release(bundle, target)
    finally:
        for path in (checkpoint, graph, bundle):
            files.remove(path)


def _network(spec: Spec) -> tuple[nn.Module, Preprocess]:
    if not spec.image_px:
        folder, encoder = text.resolve(text.MINILM)
        model = architectures.build(spec.architecture, num_classes=CLASSES, encoder=encoder, pooling=text.pooling_of(folder))
        return model, text.tokenizer(folder, MAX_TOKENS, encoder)
    px, channels = spec.image_px, spec.channels
    model = architectures.build(spec.architecture, num_classes=CLASSES, image_px=px, channels=channels)
    model.set_normalisation(torch.full((channels,), 0.5), torch.full((channels,), 0.25))
    return model, ImagePreprocess(height_px=px, width_px=px, channels=channels)


@torch.no_grad()
def _spread(model: nn.Module, feeds: Mapping[str, torch.Tensor]) -> None:
    """Make the answers tell items apart, so that a wrong one is seen: statistics of such items, a head of a fitting size."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()
    model(*feeds.values())
    model.eval()
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    logits_NK = model(*feeds.values())
    head.weight.mul_(1 / logits_NK.std(dim=0).mean())
    head.bias.sub_(model(*feeds.values()).mean(dim=0))


def _small_cnn() -> onnx.ModelProto:
    """About a millisecond on one core: three convolutions and a linear head over FP32 [N, 3, 200, 200]."""
    rng = np.random.default_rng(0)
    constants, nodes, last, width = {}, [], "image", CNN_SHAPE[0]
    for i, (channels, kernel, stride) in enumerate(((32, 7, 4), (32, 3, 2), (64, 3, 1))):
        weight = rng.normal(0, (2 / (width * kernel**2)) ** 0.5, (channels, width, kernel, kernel)).astype(np.float32)
        constants[f"w{i}"] = weight
        nodes += [
            helper.make_node("Conv", [last, f"w{i}"], [f"c{i}"], strides=[stride] * 2, pads=[kernel // 2] * 4),
            helper.make_node("Relu", [f"c{i}"], [f"r{i}"]),
        ]
        last, width = f"r{i}", channels
    constants["head"] = rng.normal(0, 3, (width, CLASSES)).astype(np.float32)
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        CNN,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", *CNN_SHAPE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", CLASSES])],
        initializer=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
