"""The loss: labels, smoothed and weighed, blended images' shared labels, and a teacher's probabilities."""

# B batch, N items, K classes

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slipway.errors import ConfigError
from slipway.training.mixing import mix
from slipway.training.recipe import TrainConfig
from slipway.training.teacher import kd_loss


class Objective:
    """Targets of a batch and the loss of its answers."""

    def __init__(
        self, labels_N: NDArray[np.int64], num_classes: int, config: TrainConfig, *, soft_NK: NDArray[np.float32] | None
    ) -> None:
        """`soft_NK`: the teacher's probability of each training item; None without a teacher.

        Raises: ConfigError: images of one class are to be mixed.
        """
        self._config, self._classes = config, num_classes
        self._labels_N = torch.from_numpy(labels_N)
        self._soft_NK = None if soft_NK is None else torch.from_numpy(soft_NK)
        self._mixing = config.augment and bool(config.mixup or config.cutmix)
        if self._mixing and len(np.unique(labels_N)) < 2:
            raise ConfigError("mixup, cutmix: the training items are all of one class; there is nothing to mix")
        self._weight_K = None
        if config.class_weights:
            counts_K = np.bincount(labels_N, minlength=num_classes)
            weight_K = len(labels_N) / (np.count_nonzero(counts_K) * np.maximum(counts_K, 1))
            self._weight_K = torch.from_numpy(weight_K).float().to(config.device)

    def targets(self, positions_B: NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        """Labels int64 [B], and the teacher's probabilities float32 [B, K] where there is one."""
        at = torch.from_numpy(positions_B)
        soft_BK = None if self._soft_NK is None else self._soft_NK[at].to(self._config.device, non_blocking=True)
        return self._labels_N[at].to(self._config.device, non_blocking=True), soft_BK

    def mixed(
        self, inputs: tuple[Tensor, ...], labels_B: Tensor, soft_BK: Tensor | None, rng: np.random.Generator
    ) -> tuple[tuple[Tensor, ...], Tensor, Tensor | None]:
        """Inputs and targets with pairs of images mixed; labels become float32 [B, K] then, and stay as they are otherwise."""
        if not self._mixing:
            return inputs, labels_B, soft_BK
        targets_BK = nn.functional.one_hot(labels_B, self._classes).float()
        if soft_BK is None:
            images, targets_BK = mix(inputs[0], targets_BK, rng, self._config)
            return (images,), targets_BK, None
        images, both = mix(inputs[0], torch.cat([targets_BK, soft_BK], dim=1), rng, self._config)
        return (images,), both[:, : self._classes], both[:, self._classes :]

    def total(self, logits_BK: Tensor, targets: Tensor, soft_BK: Tensor | None) -> Tensor:
        """Sum of the losses of a batch, in nats."""
        loss_B = nn.functional.cross_entropy(
            logits_BK, targets, weight=self._weight_K, reduction="none", label_smoothing=self._config.label_smoothing
        )
        if soft_BK is None:
            return loss_B.sum()
        share = self._config.teacher_weight
        learnt = kd_loss(logits_BK, soft_BK, self._config.teacher_temperature) * len(logits_BK)
        return (1 - share) * loss_B.sum() + share * learnt
