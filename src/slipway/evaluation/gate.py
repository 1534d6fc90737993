"""The gate: which rules apply to a bundle's scores, and the verdict with every number, threshold and reason."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from slipway.errors import ConfigError, unknown
from slipway.evaluation import rules
from slipway.evaluation.compare import bootstrap_difference, class_differences, mcnemar_exact, paired_difference
from slipway.evaluation.corruptions import CORRUPTIONS
from slipway.evaluation.rules import Rule
from slipway.evaluation.scores import Scores
from slipway.evaluation.variants import order

PASS, FAIL = "pass", "fail"
_SHARES = ("min_accuracy", "min_class_recall", "min_balanced_accuracy", "max_calibration_error")
_ABOVE_ZERO = ("max_latency_ms", "max_size_mb")
_FLOORS = ("recall_floors", "robustness_floors", "slice_floors")

MAX_DROP = 0.01
"""Points of 1 that a challenger may lose and still be called non-inferior, unless told otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GateConfig:
    """What a model must reach on the test split. Accuracies are shares in [0, 1]."""

    min_accuracy: float
    """Floor of the accuracy."""
    min_class_recall: float
    """Floor of the recall of every class; 0 switches the rule off."""
    max_accuracy_drop: float = MAX_DROP
    """Non-inferior to the champion: the one-sided 95 % lower bound of the paired difference is above minus this."""
    min_test_items: int = 100
    """Fewer test items cannot carry a verdict."""
    min_balanced_accuracy: float = 0.0
    """Floor of the mean of the classes' recalls; 0 switches the rule off."""
    recall_floors: str = ""
    """Floors of single classes, such as `scratches=0.95, patches=0.9`."""
    robustness_floors: str = ""
    """Floors of the mean accuracy on disturbed items, by disturbance, such as `blur=0.7`."""
    slice_floors: str = ""
    """Floors of the accuracy on slices of your data, such as `camera=3=0.9`; see slice_columns."""
    max_calibration_error: float | None = None
    """Ceiling of the expected calibration error, a share; none: no such rule."""
    max_latency_ms: float | None = None
    """Ceiling of one item's time, 95th percentile, preprocessing included, where `evaluate` runs; none: no such rule."""
    max_size_mb: float | None = None
    """Ceiling of the served graph's file, in 10^6 bytes; none: no such rule."""

    def __post_init__(self) -> None:
        for name in _SHARES:
            if (value := getattr(self, name)) is not None and not 0 <= value <= 1:
                raise ConfigError(f"gate.{name}: must be 0 to 1, got {value}; 0.9 means 90 %")
        for name in _ABOVE_ZERO:
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ConfigError(f"gate.{name}: must be above 0, got {value}; none switches the rule off")
        if not 0 < self.max_accuracy_drop <= 1:
            raise ConfigError(f"gate.max_accuracy_drop: must be above 0 and at most 1, got {self.max_accuracy_drop}")
        if self.min_test_items < 1:
            raise ConfigError(f"gate.min_test_items: must be >= 1, got {self.min_test_items}")
        wanted = {name: rules.floors(getattr(self, name), f"gate.{name}") for name in _FLOORS}
        for name in wanted["robustness_floors"]:
            if name not in CORRUPTIONS:
                raise ConfigError(unknown("gate.robustness_floors: disturbance", name, CORRUPTIONS))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of a bundle, from its scores."""

    rules: Sequence[Rule]

    @property
    def verdict(self) -> str:
        """`pass` when every rule passed, else `fail`."""
        return PASS if all(rule.passed for rule in self.rules) else FAIL

    @property
    def reasons(self) -> list[str]:
        """Of the rules that failed; of all rules when none did."""
        failed = [rule.reason for rule in self.rules if not rule.passed]
        return failed or [rule.reason for rule in self.rules]


def judge(scores: Scores, config: GateConfig) -> Verdict:
    """Apply every rule to the scores. Raises: ConfigError: a floor for a name that is not there."""
    return Verdict(list(_rules(scores, config)))


def _rules(scores: Scores, config: GateConfig) -> Iterator[Rule]:
    found = scores.summary
    yield rules.enough_items(found["n"], config.min_test_items)
    yield rules.accuracy_floor(found["accuracy"], found["accuracy_low"], found["accuracy_high"], config.min_accuracy)
    yield rules.better_than_guessing(found["accuracy_low"], found["confusion"])
    recall = dict(zip(found["labels"], found["recall"], strict=True))
    if config.min_class_recall > 0:
        yield rules.class_recall_floor(recall, config.min_class_recall)
    if config.min_balanced_accuracy > 0:
        yield rules.floor("balanced_accuracy", "balanced accuracy", found["balanced_accuracy"], config.min_balanced_accuracy)
    if config.max_calibration_error is not None:
        error = found["calibration_error"]
        yield rules.ceiling("calibration_error", "expected calibration error", error, config.max_calibration_error)
    if config.max_latency_ms is not None:
        taken = scores.timings["latency_ms"]["p95"]
        yield rules.ceiling("latency", "95th percentile of one item's latency", taken, config.max_latency_ms, "ms")
    if config.max_size_mb is not None:
        yield rules.ceiling("size", f"size of {found['variant']}", found["size_bytes"] / 1e6, config.max_size_mb, "MB")
    disturbed = found["robustness"]["corruptions"] if found["robustness"] else {}
    for name, kind, there in (
        ("recall_floors", "recall of class", recall),
        ("robustness_floors", "accuracy under", {name: row["accuracy"] for name, row in disturbed.items()}),
        ("slice_floors", "accuracy on slice", {row["slice"]: row["accuracy"] for row in found["slices"]}),
    ):
        yield from rules.named(rules.floors(getattr(config, name), f"gate.{name}"), there, name, kind)
    if found["champion"] is not None:
        yield _against_champion(scores, config.max_accuracy_drop)


def _against_champion(scores: Scores, max_drop: float) -> Rule:
    if scores.summary["champion"]["bundle"] == scores.summary["bundle"]:
        return Rule("non_inferior", True, 0.0, -max_drop, "the champion is this very bundle")
    if scores.fresh_N is None or scores.champion_right_N is None:
        reason = "the champion has other classes or another input: not comparable; give the model a --name of its own"
        return Rule("non_inferior", False, 0.0, -max_drop, reason)
    fresh = scores.fresh_N
    return rules.non_inferior(
        paired_difference(scores.right_N[fresh], scores.champion_right_N[fresh], max_drop=max_drop), max_drop
    )


def comparison(scores: Scores, max_drop: float) -> dict[str, Any] | None:
    """Everything told of challenger and champion on the items new to both; None where there is nothing to compare.

    Returns: the fields of `PairedDifference`, low and high (95 %, bootstrap), p (McNemar, exact) and classes.
    """
    if scores.fresh_N is None or scores.champion_right_N is None or not scores.fresh_N.any():
        return None
    fresh = scores.fresh_N
    ours_N, theirs_N, labels_N = scores.right_N[fresh], scores.champion_right_N[fresh], scores.labels_N[fresh]
    paired = paired_difference(ours_N, theirs_N, max_drop=max_drop)
    low, high = bootstrap_difference(ours_N, theirs_N)
    return {
        **asdict(paired),
        "low": low,
        "high": high,
        "p": mcnemar_exact(paired.only_challenger_right, paired.only_champion_right),
        "accuracy": float(ours_N.mean()),
        "champion_accuracy": float(theirs_N.mean()),
        "classes": [asdict(row) for row in class_differences(labels_N, ours_N, theirs_N, scores.summary["labels"])],
    }


def verdict_of(scores: Scores, config: GateConfig) -> dict[str, Any]:
    """What verdict.json says: `judge`'s verdict, and all that it rests on. Raises: ConfigError: see `judge`."""
    judged = judge(scores, config)
    return {
        "verdict": judged.verdict,
        "reasons": judged.reasons,
        "rules": [asdict(rule) for rule in judged.rules],
        "bundle": scores.summary["bundle"],
        "variant": scores.summary["variant"],
        "order": order(scores.timings["variants"]) if scores.timings["variants"] else [scores.summary["variant"]],
        "scores": scores.digest,
        "champion": (scores.summary["champion"] or {}).get("release", ""),
        "comparison": comparison(scores, config.max_accuracy_drop),
        "config": asdict(config),
    }
