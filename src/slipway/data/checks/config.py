"""Which checks are made, how they end, and from where on something is worth a finding."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from slipway.errors import ConfigError, unknown

OFF, WARN, REFUSE = LEVELS = ("off", "warn", "refuse")
CHECKS = (
    "exact_across_splits", "exact_within_split", "near_across_splits", "label_conflicts", "suspicious_labels",
    "class_imbalance", "odd_sizes", "empty_texts", "long_texts", "split_shift",
)  # fmt: skip
"""Names of the checks, in the order of a report; each is a field of `CheckConfig` that holds its level."""
RANGES: Mapping[str, tuple[float, float]] = {
    "near_image": (0.5, 1), "near_text": (0.5, 1), "near_items": (2, inf), "suspicious_margin": (0, 1),
    "suspicious_agreement": (0, 1), "suspicious_items": (50, inf), "imbalance_ratio": (1, inf), "odd_size_factor": (1, inf),
    "max_tokens": (1, inf), "long_share": (0, 1), "shift_p": (0, 1), "shift_effect": (0, 1), "listed_items": (1, 10_000),
}  # fmt: skip
"""Lowest and highest allowed value of the thresholds, both included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckConfig:
    """A level for each check: `off`, `warn` or `refuse`; and its thresholds."""

    exact_across_splits: str = WARN
    """Items of one split whose content is in another one as well: prepared pixels, or the text."""
    exact_within_split: str = WARN
    """Items with equal content in one split."""
    near_across_splits: str = WARN
    """Items that are almost those of another split: another crop, colour, mirror image; a few other words."""
    label_conflicts: str = WARN
    """Equal or almost equal items with different labels."""
    suspicious_labels: str = WARN
    """Labels that a cheap model, which was not fitted on the item, confidently contradicts."""
    class_imbalance: str = WARN
    """Classes that are rare in the train split."""
    odd_sizes: str = WARN
    """Images whose original size or aspect is unlike that of the others."""
    empty_texts: str = WARN
    """Texts without any letter or digit."""
    long_texts: str = WARN
    """Texts that an encoder would cut."""
    split_shift: str = WARN
    """Splits that differ from train in class shares, in brightness and contrast of images, or in length of texts."""

    near_image: float = 0.8
    """Correlation of fine structure from which on two images are near duplicates, 0.5 to 1."""
    near_text: float = 0.7
    """Share of word pairs that two texts have in common (Jaccard) from which on they are near duplicates, 0.5 to 1."""
    near_items: int = 100_000
    """Near duplicates are looked for among at most so many items; of a larger set, a random sample of each split."""
    suspicious_margin: float = 0.8
    """How much more probable the other class must be than the given label, 0 to 1; 0 lists all that confident learning does."""
    suspicious_items: int = 10_000
    """Labels are checked of at most so many items, a random sample of each split: the model is fitted five times."""
    suspicious_agreement: float = 0.75
    """Least share of labels that the model must agree with, 0 to 1: a worse one is itself wrong more often than they are."""
    imbalance_ratio: float = 10
    """A class is rare when the largest has more than so many times its items in the train split."""
    odd_size_factor: float = 3
    """An image is odd when its width, height or aspect is more than so many times the median, or so many times less."""
    max_tokens: int = 128
    """Words and punctuation marks after which an encoder cuts, at the least: its own pieces of words are more."""
    long_share: float = 0.05
    """Share of cut texts above which there is a finding."""
    shift_p: float = 0.001
    """Largest p-value of a difference between splits that counts."""
    shift_effect: float = 0.1
    """Smallest effect that counts, however many items prove it: Cramér's V of class shares, D of Kolmogorov and Smirnov."""
    listed_items: int = 40
    """Items that a finding lists and draws at most, the worst first; its count is of all."""

    def __post_init__(self) -> None:
        for name in CHECKS:
            if getattr(self, name) not in LEVELS:
                raise ConfigError(unknown(f"checks.{name}", str(getattr(self, name)), LEVELS))
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                allowed = f"at least {low:g}" if high == inf else f"{low:g} to {high:g}"
                raise ConfigError(f"checks.{name}: must be {allowed}, got {value}")
