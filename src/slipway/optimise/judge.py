"""What a variant answers on validation, beside what a bundle's fp32 graph answers to the same items."""

# N items, K classes

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway import metrics
from slipway.bundle import BATCH, Bundle
from slipway.data.dataset import Dataset
from slipway.engines import Feeds, Session
from slipway.errors import ParityError
from slipway.evaluation.compare import paired_difference
from slipway.export import parity

ITEMS = 2000
"""Validation items that variants are judged by."""
BOUND = 2
"""The loss that is not excluded, one-sided at 95 %, may be so many times the budget for the loss that is seen."""


class Judge:
    """Judges open graphs by the same validation items; the test split is for the ladder's table alone."""

    def __init__(self, judged: Bundle, dataset: Dataset, *, base: Bundle, max_drop: float) -> None:
        """How variants of a bundle are judged.

        Args:
            judged: preprocesses the items for them.
            base: what they are compared with: the same bundle's fp32 variant, or a teacher's.
            max_drop: budget, the largest fall of accuracy against the base, a share in (0, 1).
        """
        self._max_drop = max_drop
        count = min(ITEMS, len(dataset.label_indices("validation")))  # their order is by content, so random
        self._labels_N = np.asarray(dataset.label_indices("validation")[:count])
        self._ids = [f"validation/{name}" for name in dataset.ids("validation")[:count]]
        self._feeds = _feeds(judged, dataset, count)
        self._base_NK = np.concatenate([base.run(feeds) for feeds in _feeds(base, dataset, count)])
        self.log_loss = metrics.log_loss(self._labels_N, self._base_NK)

    def __call__(self, session: Session) -> dict[str, Any]:
        """The numbers of a variant.

        Returns: n, accuracy, log_loss, difference (of accuracy to the base), lower (its one-sided 95 % bound), needed (items
            with which that bound would do, if the two are equally good), relative_error (of the worst item's logits),
            top1_agreement, worst (that item), batch_difference (largest change of a probability by the company of other
            items), and allowed: the loss is within the budget, and one of more than BOUND times the budget is excluded, or
            the answers are the base's own within the limits of parity.
        Raises: ParityError: answers of another shape, or that are no numbers.
        """
        answers_NK = self._answers(session, self._feeds)
        right_N, base_right_N = (p.argmax(axis=1) == self._labels_N for p in (answers_NK, self._base_NK))
        paired = paired_difference(right_N, base_right_N, max_drop=BOUND * self._max_drop)
        apart = parity.difference(self._ids, self._base_NK, answers_NK)
        kept = paired.difference >= -self._max_drop and paired.lower > -BOUND * self._max_drop
        return {
            "n": len(self._labels_N),
            "accuracy": float(right_N.mean()),
            "log_loss": metrics.log_loss(self._labels_N, answers_NK),
            "difference": paired.difference,
            "lower": paired.lower,
            "needed": paired.needed,
            **apart,
            "batch_difference": self._batch_difference(session, answers_NK),
            "allowed": kept or apart["relative_error"] <= parity.MAX_RELATIVE_ERROR,
        }

    def _batch_difference(self, session: Session, answers_NK: NDArray[np.float32]) -> float:
        first = self._feeds[0]
        count = min(max(parity.BATCH_SIZES), len(answers_NK))
        few = {name: array[:count] for name, array in first.items()}
        found = [self._answers(session, batched(few, size)) for size in parity.BATCH_SIZES]
        return max(float(np.abs(part_NK - answers_NK[:count]).max()) for part_NK in found)

    def _answers(self, session: Session, batches: Sequence[Feeds]) -> NDArray[np.float32]:
        parts = []
        for batch in batches:
            part_NK = session.run(["probabilities"], batch)[0]
            if part_NK.shape != (wanted := (len(next(iter(batch.values()))), self._base_NK.shape[1])):
                raise ParityError(f"parity: the variant answers {list(part_NK.shape)}, the bundle {list(wanted)}")
            parts.append(part_NK)
        answers_NK: NDArray[np.float32] = np.concatenate(parts)
        if not np.isfinite(answers_NK).all():
            raise ParityError("parity: the variant's answers are no numbers; leave its first layers in float")
        return answers_NK


def _feeds(bundle: Bundle, dataset: Dataset, count: int) -> list[Feeds]:
    """Graph inputs of the first validation items, in batches."""
    if bundle.preprocess.input_name == "image":
        return batched({"image": dataset.arrays("validation")[0][:count]}, BATCH)
    texts = dataset.texts("validation")[:count]
    return [bundle.preprocess.encode(texts[i : i + BATCH]) for i in range(0, count, BATCH)]


def told(found: Mapping[str, Any], max_drop: float) -> str:
    """One line for people: whether a variant, as a Judge found it, keeps the budget, or by how many points it misses."""
    seen, worst = 100 * found["difference"], 100 * found["lower"]
    allowed, allowed_worst = -100 * max_drop, -100 * BOUND * max_drop
    budget = f"budget {allowed:+.2f} and {allowed_worst:+.2f}"
    line = f"{seen:+.2f} points on {found['n']} of validation, at worst {worst:+.2f}; {budget}"
    if found["allowed"]:
        return line if worst > allowed_worst else f"{line}; its answers are the same"
    missed = f"{line}: missed by {max(allowed - seen, allowed_worst - worst):.2f}, so it is measured, but not served"
    return missed if seen < allowed else f"{missed}; about {found['needed']:,} items would tell"


def batched(arrays: Feeds, size: int) -> list[Feeds]:
    """Graph inputs in batches of at most `size`."""
    count = len(next(iter(arrays.values())))
    return [{name: np.asarray(array[i : i + size]) for name, array in arrays.items()} for i in range(0, count, size)]
