"""Checkpoints of untrained networks, written in a moment."""

from dataclasses import asdict

import numpy as np
import torch
from safetensors.numpy import save_file

from slipway.models import architectures
from slipway.models.voting import Voting
from slipway.store import files
from slipway.training.recipe import TrainConfig

MEMBERS = (("lenet5", {}), ("custom_cnn", {"width": 0.125}))
"""Two different colour networks, small enough to export in a moment."""


def networks(dataset, members=MEMBERS):
    """Networks with random weights and statistics, of a size that tells images apart; in evaluation mode."""
    torch.manual_seed(0)
    made = []
    for name, options in members:
        preprocess = dataset.preprocess
        model = architectures.build(
            name, num_classes=len(dataset.labels), image_px=preprocess.height_px, channels=preprocess.channels, **options
        )
        model.set_normalisation(torch.full((preprocess.channels,), 0.5), torch.full((preprocess.channels,), 0.25))
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, torch.nn.BatchNorm2d):
                    module.running_mean.uniform_(-0.1, 0.1)
                    module.running_var.uniform_(0.05, 0.1)
            module.weight.mul_(5)  # the last one is the classifier
        made.append(model.eval())
    return made


def write(dataset, target, members=MEMBERS, **extra):
    """A checkpoint of `networks`; `extra` goes to model.json. Two members or more are named there."""
    models = networks(dataset, members)
    model = models[0] if len(models) == 1 else Voting(models)
    parts = [{"architecture": name, "options": options} for name, options in members]
    height, width, channels = dataset.preprocess.shape
    config = TrainConfig(family=dataset.family, architecture=members[0][0], threads=1, device="cpu")
    with files.atomic_dir(target) as scratch:
        save_file(
            {name: np.ascontiguousarray(t.numpy()) for name, t in model.state_dict().items()}, scratch / "weights.safetensors"
        )
        meta = {
            "format": 1,
            "family": dataset.family,
            **parts[0],
            **({"members": parts} if len(parts) > 1 else {}),
            **extra,
            "labels": list(dataset.labels),
            "input": {"height_px": height, "width_px": width, "channels": channels},
            "preprocess": dataset.preprocess.save(scratch),
            "config": asdict(config),
            "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
            "best": {"epoch": 1},
        }
        files.write_json(scratch / "model.json", meta, sort_keys=False)
        np.save(scratch / "train_items.npy", np.sort(dataset.item_hashes("train")))
    return target
