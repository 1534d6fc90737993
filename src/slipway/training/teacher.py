"""Distillation: what a teacher answers to the training items, and the loss that follows it."""

# B batch, N items, H/W px, C channels, K classes

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slipway import bundle as bundles
from slipway.bundle import Bundle
from slipway.data.dataset import Dataset
from slipway.errors import BundleError, ConfigError
from slipway.training.given import place, warn_of_seen_items
from slipway.training.recipe import TrainConfig

if TYPE_CHECKING:  # TF-IDF has teachers, too, and must not wait for torch
    from torch import Tensor

LEAST_PROBABILITY = 1e-30
"""Of a teacher, where logarithms are taken: below it float32 no longer holds what the teacher's logit was."""
SAY_EVERY_S = 10.0


def soft_targets(
    dataset: Dataset, config: TrainConfig, split: str = "train", *, cache: Path | None = None
) -> NDArray[np.float32]:
    """The teacher's probabilities [N, K] of a split's items, as it would answer if it were served (its temperature included).

    The teacher gets texts as they are, and images as the student's arrays, uint8 [N, H, W, C]: another size or colour mode
    is made by its own preprocessing, so images prepared smaller than the teacher's input reach it enlarged. Equal teachers,
    data and threads give equal bits.

    Args:
        config: names the teacher, and the threads.
        cache: see `open_teacher`.
    Returns: classes in the data set's order.
    Raises:
        ConfigError: no such teacher, or one of another family or with other classes.
        StoreError: the store does not answer or refuses.
    """
    teacher = open_teacher(config, cache=cache)
    if teacher.family != dataset.family or teacher.preprocess.input_name != dataset.kind:
        raise ConfigError(
            f"teacher: {config.teacher} is of family {teacher.family}, {dataset.path} of {dataset.family}; "
            f"learn from a bundle of family {dataset.family}"
        )
    if other := set(teacher.labels) ^ set(dataset.labels):
        missing, extra = (_few(other.intersection(names)) for names in (dataset.labels, teacher.labels))
        raise ConfigError(
            f"teacher: {config.teacher} has other classes than {dataset.path}: missing {missing}; extra {extra}; "
            f"learn from a bundle with the same classes"
        )
    warn_of_seen_items("teacher", teacher.path, dataset)
    items: Any = dataset.texts(split) if dataset.kind == "text" else dataset.arrays(split)[0]
    order = [teacher.labels.index(name) for name in dataset.labels]
    return np.ascontiguousarray(_answers(teacher, items)[:, order])


def open_teacher(config: TrainConfig, *, cache: Path | None) -> Bundle:
    """The bundle or release that `config.teacher` names, verified and ready to answer.

    Args:
        cache: see `given.place`.
    Raises: ConfigError: it is not there, or no bundle.
    """
    path = place("teacher", config.teacher, cache)
    if not (path / "bundle.json").is_file():
        raise ConfigError(f"teacher: {config.teacher} is no bundle (no bundle.json); export the checkpoint first")
    try:
        return bundles.load(path, threads=config.threads)
    except BundleError as exc:
        raise ConfigError(f"teacher: {exc}") from exc


def soften(soft_NK: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Probabilities of the same logits divided by `temperature`: above 1 they are more even. [N, K], rows add up to 1."""
    log_p_NK = np.log(np.maximum(soft_NK.astype(np.float64), LEAST_PROBABILITY)) / temperature
    p_NK = np.exp(log_p_NK - log_p_NK.max(axis=1, keepdims=True))
    return np.asarray(p_NK / p_NK.sum(axis=1, keepdims=True))


def kd_loss(logits_BK: "Tensor", soft_BK: "Tensor", temperature: float) -> "Tensor":
    """temperature² x KL(teacher || student), both softened by the temperature; mean over the batch, in nats, at least 0.

    The square keeps the gradient's size at every temperature (Hinton et al. 2015, arXiv:1503.02531). At temperature 1 the
    gradient is that of the cross-entropy with soft labels.

    Args:
        logits_BK: the student's, of any floating type; computed in float32.
        soft_BK: float32, the teacher's probabilities, not softened; rows add up to 1. No gradient flows into them.
    """
    from torch.nn.functional import kl_div, log_softmax

    theirs_BK = log_softmax(soft_BK.detach().float().clamp_min(LEAST_PROBABILITY).log() / temperature, dim=1)
    mine_BK = log_softmax(logits_BK.float() / temperature, dim=1)
    return kl_div(mine_BK, theirs_BK, reduction="batchmean", log_target=True) * temperature**2


def _answers(teacher: Bundle, items: Sequence[Any]) -> NDArray[np.float32]:
    """Probabilities [N, K] in the teacher's order; says on stderr how far it is."""
    parts, say_s = [np.empty((0, len(teacher.labels)), np.float32)], time.monotonic() + SAY_EVERY_S
    for start in range(0, len(items), bundles.BATCH):
        parts.append(teacher.predict(items[start : start + bundles.BATCH]))
        if time.monotonic() >= say_s:
            say_s = time.monotonic() + SAY_EVERY_S
            sys.stderr.write(f"teacher: {min(start + bundles.BATCH, len(items)):,} of {len(items):,} items answered\n")
            sys.stderr.flush()
    return np.concatenate(parts)


def _few(names: set[str]) -> str:
    """Names for a message."""
    listed = sorted(names)
    return ", ".join(listed[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "") or "none"
