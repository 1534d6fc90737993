"""The table of architectures. A new one is a function and a line here."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any

from slipway.errors import ConfigError, unknown


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchitectureEntry:
    """A line of the table."""

    family: str
    """A name in FAMILIES."""
    input: str
    """What it reads, a name in `preprocess.KINDS`: `image` (pixels), `wordpiece` (token ids) or `tfidf` (counted terms)."""
    builder: str
    """`module:function` below slipway.models; of images: f(num_classes, channels, [image_px,] *, options), logits from NCHW."""
    min_px: int = 0
    """Smallest side of the input in pixels; 0 for texts."""
    description: str


ARCHITECTURES: Mapping[str, ArchitectureEntry] = MappingProxyType(
    {
        "lenet5": ArchitectureEntry(
            family="cv",
            input="image",
            builder="cnn:lenet5",
            min_px=32,
            description="the classic of 1998, 0.06 M parameters",
        ),
        "custom_cnn": ArchitectureEntry(
            family="cv",
            input="image",
            builder="cnn:custom_cnn",
            min_px=32,
            description="five convolution blocks and a dense head, 9.8 M parameters",
        ),
        "fast_cnn": ArchitectureEntry(
            family="cv",
            input="image",
            builder="fast:fast_cnn",
            min_px=32,
            description="whitening and three blocks made for speed on small images, 1.7 M parameters",
        ),
        "resnet18": ArchitectureEntry(
            family="cv",
            input="image",
            builder="vision:resnet18",
            min_px=32,
            description="torchvision's ResNet-18, 11 M parameters; small-image stem up to 64 px",
        ),
        "resnet50": ArchitectureEntry(
            family="cv",
            input="image",
            builder="vision:resnet50",
            min_px=32,
            description="torchvision's ResNet-50, 24 M parameters; small-image stem up to 64 px",
        ),
        "efficientnet_b0": ArchitectureEntry(
            family="cv",
            input="image",
            builder="vision:efficientnet_b0",
            min_px=32,
            description="torchvision's EfficientNet-B0, 4.0 M parameters; small-image strides up to 64 px",
        ),
        "mobilenet_v2": ArchitectureEntry(
            family="cv",
            input="image",
            builder="vision:mobilenet_v2",
            min_px=32,
            description="torchvision's MobileNetV2, 2.2 M parameters; small-image strides up to 64 px",
        ),
        "densenet121": ArchitectureEntry(
            family="cv",
            input="image",
            builder="vision:densenet121",
            min_px=32,
            description="torchvision's DenseNet-121, 7.0 M parameters; small-image stem up to 64 px",
        ),
        "defect_small": ArchitectureEntry(
            family="defect",
            input="image",
            builder="cnn:defect_small",
            min_px=32,
            description="three residual stages and global average pooling, 0.3 M parameters",
        ),
        "defect_base": ArchitectureEntry(
            family="defect",
            input="image",
            builder="cnn:defect_base",
            min_px=32,
            description="four deeper residual stages, dropout and global average pooling, 1.4 M parameters",
        ),
        "tfidf_logreg": ArchitectureEntry(
            family="nlp",
            input="tfidf",
            builder="linear:tfidf_logreg",
            description="logistic regression on TF-IDF of words and word pairs",
        ),
        "hf_encoder": ArchitectureEntry(
            family="nlp",
            input="wordpiece",
            builder="text:hf_encoder",
            description="any Hugging Face encoder with a classification head; `pretrained` names it",
        ),
    }
)


def find(name: str, *, family: str = "") -> ArchitectureEntry:
    """A line of the table.

    Args:
        family: the family it must belong to; empty means any.
    Raises: ConfigError: there is no such architecture of that family; the message lists those there are.
    """
    known = names(family)
    if name not in known:
        other = f" (it is of family {ARCHITECTURES[name].family})" if name in ARCHITECTURES else ""
        raise ConfigError(unknown(f"architecture{f' of family {family}' if family else ''}", name, known) + other)
    return ARCHITECTURES[name]


def names(family: str = "") -> list[str]:
    """Architectures of a family, or all."""
    return [name for name, entry in ARCHITECTURES.items() if family in ("", entry.family)]


def options_of(name: str) -> list[str]:
    """Names of the options that `build` takes for an architecture."""
    parameters = inspect.signature(_builder(find(name))).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


def build(name: str, *, num_classes: int, image_px: int = 0, channels: int = 0, **options: Any) -> Any:
    """A model with fresh weights, from torch's current random state.

    Args:
        image_px: side of the square input, or the shorter side; 0 for texts.
        channels: 1 or 3; 0 for texts.
        options: keyword-only parameters of the architecture's builder.
    Returns: for `image` a `network.ImageNetwork` (uint8 NHWC -> logits), for `wordpiece` a torch module (input_ids,
        attention_mask -> logits), for `tfidf` a `linear.TfidfLinear`.
    Raises: ConfigError: unknown architecture or option, or an image too small for it.
    """
    entry = find(name)
    builder = _builder(entry)
    allowed = options_of(name)
    for option in options:
        if option not in allowed:
            raise ConfigError(unknown(f"architecture {name}: option", option, allowed))
    if num_classes < 2:
        raise ConfigError(f"architecture {name}: needs at least 2 classes, got {num_classes}")
    if entry.input != "image":
        return builder(num_classes, **options)
    if image_px < entry.min_px:
        raise ConfigError(f"architecture {name}: needs images of at least {entry.min_px} px, got {image_px}; raise image_px")
    from slipway.models.network import ImageNetwork

    if "image_px" in inspect.signature(builder).parameters:
        options["image_px"] = image_px
    return ImageNetwork(builder(num_classes, channels, **options), channels)


def _builder(entry: ArchitectureEntry) -> Callable[..., Any]:
    module, _, function = entry.builder.partition(":")
    builder: Callable[..., Any] = getattr(import_module(f"slipway.models.{module}"), function)
    return builder
