"""A checkpoint or bundle directory back to a model that answers, in evaluation mode, on the CPU."""

# N items, K classes

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import preprocess
from slipway.errors import BundleError, unknown
from slipway.models import architectures

META = ("model.json", "bundle.json")
"""Of a checkpoint, of a bundle."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A trained model with its preprocessing."""

    path: Path
    meta: Mapping[str, Any]
    """model.json or bundle.json."""
    preprocess: preprocess.Preprocess
    model: Any
    """A torch module in evaluation mode, or a `linear.TfidfLinear`; called with `preprocess.encode`'s arrays by name."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return tuple(self.meta["labels"])

    def logits(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Logits [N, K] of `preprocess.encode`'s arrays, before any temperature."""
        if architectures.find(self.meta["architecture"]).input == "tfidf":
            return np.asarray(self.model(**feeds), np.float64)
        import torch

        with torch.inference_mode():  # copied: memory maps are read-only, and torch warns of those
            logits = self.model(**{name: torch.from_numpy(np.array(array)) for name, array in feeds.items()})
        return np.asarray(logits.double().numpy())


def restore(directory: Path) -> Restored:
    """Read a checkpoint or bundle. The caller has verified it against its manifest.

    Three keys of its JSON are optional. `members`, a list of {architecture, options}: two or more are an ensemble, whose
    weights are named `members.<i>.<name>`; one, or no such key, is the single network of `architecture` and `options`.
    `tta`, a name in `voting.VIEWS`: the views that every member looks at; `none` without the key.
    `pruned`: the weights tell how wide the layers are; without the key all are as wide as the architecture's.

    Raises: BundleError: no checkpoint or bundle, weights that are not those of its architecture, members that read
        different inputs, or views that this version does not know.
    """
    meta = _meta(directory)
    entry = architectures.find(meta["architecture"])
    restored = preprocess.restore(meta["preprocess"], directory)
    parts = meta.get("members") or [{"architecture": meta["architecture"], "options": meta["options"]}]
    names = " + ".join(part["architecture"] for part in parts)
    if {architectures.find(part["architecture"]).input for part in parts} != {entry.input}:
        raise BundleError(f"{directory}: the members {names} do not all read what {meta['architecture']} reads; train again")
    members = [
        architectures.build(part["architecture"], num_classes=len(meta["labels"]), **size_of(meta), **part["options"])
        for part in parts
    ]
    model = members[0] if entry.input == "tfidf" else _vote(members, str(meta.get("tta", "none")), directory)
    weights = directory / "weights.safetensors"
    try:
        if entry.input == "tfidf":
            from safetensors.numpy import load_file

            model.load_state_dict(load_file(weights))
        else:
            from safetensors.torch import load_file as load_torch

            trained, tensors = (model if len(members) > 1 else members[0]), load_torch(weights)
            if "pruned" in meta:
                from slipway.models.widths import fit

                fit(trained, tensors)
            trained.load_state_dict(tensors)
            model.eval()
    except (KeyError, ValueError, RuntimeError, OSError) as exc:
        reason = " ".join(str(exc).split())[:300]
        raise BundleError(f"{weights}: not the weights of {names} ({reason}); train or export again") from exc
    return Restored(directory, meta, restored, model)


def size_of(meta: Mapping[str, Any]) -> dict[str, int]:
    """What `architectures.build` needs to know of the images: image_px and channels; nothing of texts."""
    size = meta["input"]
    return {"image_px": min(size["height_px"], size["width_px"]), "channels": size["channels"]} if size else {}


def _vote(members: list[Any], views: str, directory: Path) -> Any:
    """One network as it is, or a `voting.Voting` of several, or of several views."""
    from slipway.models.voting import VIEWS, Voting

    if views not in VIEWS:
        raise BundleError(unknown(f"{directory}: tta", views, VIEWS) + "; upgrade slipway or train again")
    return members[0] if len(members) == 1 and views == "none" else Voting(members, views)


def _meta(directory: Path) -> dict[str, Any]:
    for name in META:
        path = directory / name
        if path.is_file():
            try:
                meta: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as exc:
                raise BundleError(f"{path}: cannot be read ({exc})") from exc
            return meta
    raise BundleError(f"{directory}: neither a checkpoint nor a bundle (no {' or '.join(META)})")
