"""Pretrained weights of image networks: torchvision's own, a local safetensors file, or one on the Hugging Face hub."""

import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from slipway.errors import ConfigError
from slipway.models.network import ImageNetwork

IMAGENET = "imagenet"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's channels in [0, 1]: what torchvision's weights were trained with, and by custom everybody's."""
PICKLES = (".pth", ".pt", ".bin", ".ckpt")


def load(model: ImageNetwork, source: str, architecture: str) -> list[str]:
    """Put pretrained weights into `model`, and the normalisation they were trained with.

    A classifier of another number of classes stays fresh, and so does a first convolution of another kernel (the small-image
    stem of a ResNet), which is told on stderr. A gray model sums the first convolution's three colours.

    Args:
        source: `imagenet`, a .safetensors file, or a name on the Hugging Face hub; names of weights are torchvision's.
    Returns: names that stayed fresh.
    Raises: ConfigError: nothing there, no safetensors, or keys that are missing, unexpected or of another shape.
    """
    found = _read(source, architecture)
    network = model.network
    wanted = network.state_dict()
    first = next((n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)), "") + ".weight"
    last = [n for n, m in network.named_modules() if isinstance(m, nn.Linear)][-1:]
    head = {f"{name}.{part}" for name in last for part in ("weight", "bias")}
    if first in found and first in wanted and found[first].shape[1] == 3 and wanted[first].shape[1] == 1:
        found[first] = found[first].sum(dim=1, keepdim=True)
    fresh = [n for n in wanted if n in head | {first} and (n not in found or found[n].shape != wanted[n].shape)]
    _check(source, architecture, wanted, {n: t for n, t in found.items() if n not in fresh}, set(fresh) | head)
    network.load_state_dict({**wanted, **{n: t for n, t in found.items() if n in wanted and n not in fresh}})
    gray = wanted[first].shape[1] == 1
    mean, std = (torch.tensor([sum(values) / 3] if gray else values) for values in (MEAN, STD))
    model.set_normalisation(mean, std)
    if first in fresh:
        sys.stderr.write(f"pretrained: {architecture} has another first convolution at this image size; it starts fresh\n")
    return fresh


def _check(source: str, architecture: str, wanted: Mapping[str, Tensor], found: Mapping[str, Tensor], fresh: set[str]) -> None:
    """What neither fits nor may stay fresh, in one line. `num_batches_tracked` is a counter that some files leave out."""
    missing = [n for n in wanted if n not in found and n not in fresh and not n.endswith("num_batches_tracked")]
    more = [n for n in found if n not in wanted and n not in fresh]
    other = [n for n in found if n in wanted and found[n].shape != wanted[n].shape]
    problems = []
    for what, names in (("missing", missing), ("unknown", more), ("of another shape", other)):
        if names:
            shapes = f" {tuple(found[names[0]].shape)} for {tuple(wanted[names[0]].shape)}" if names is other else ""
            problems.append(f"{len(names)} {what}, such as {names[0]}{shapes}")
    if problems:
        raise ConfigError(f"pretrained: {source}: not the weights of {architecture}: {'; '.join(problems)}")


def _read(source: str, architecture: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if source == IMAGENET:
        return _torchvision(architecture)
    path = Path(source).expanduser()
    if path.suffix in PICKLES:
        raise ConfigError(f"pretrained: {path} is a pickle; load it in torch and write it with safetensors.torch.save_file")
    if not path.exists() and path.suffix != ".safetensors":
        path = _hub(source)
    if path.is_dir():
        path /= "model.safetensors"
    try:
        weights: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as exc:
        reason = "there is no such file" if not path.exists() else f"no safetensors file ({str(exc).splitlines()[0]})"
        raise ConfigError(f"pretrained: {path}: {reason}; give '{IMAGENET}', a .safetensors file or a hub name") from exc
    return weights


def _torchvision(architecture: str) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights, list_models

    if architecture not in list_models():
        raise ConfigError(f"pretrained: torchvision has no ImageNet weights of {architecture}; use one of its architectures")
    weights = get_model_weights(architecture).DEFAULT
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as exc:
        where = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        raise ConfigError(
            f"pretrained: {weights.url} cannot be fetched ({exc}); put it at {where}, or give a .safetensors file"
        ) from exc
    return state


def _hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=["model.safetensors"]))
    except (OSError, ValueError, RuntimeError) as exc:
        reason = (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200]
        raise ConfigError(
            f"pretrained: '{name}' is neither a file nor on the Hugging Face hub or in its cache ({reason}); "
            f"give '{IMAGENET}', a .safetensors file or a name the hub knows"
        ) from exc
