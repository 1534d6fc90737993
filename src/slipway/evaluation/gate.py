"""The gate: rules are pure functions over numbers; the verdict keeps every number, threshold and reason."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slipway.errors import ConfigError
from slipway.evaluation.compare import paired_difference
from slipway.evaluation.scores import Scores
from slipway.store import files

PASS, FAIL = "pass", "fail"


@dataclass(frozen=True, kw_only=True, slots=True)
class GateConfig:
    """What a model must reach. Accuracies are shares in [0, 1]."""

    min_accuracy: float
    """Floor of the accuracy on the test split."""
    min_class_recall: float
    """Floor of the recall of every class; 0 switches the rule off."""
    max_accuracy_drop: float = 0.01
    """Non-inferior to the champion: the one-sided 95 % lower bound of the paired difference is above minus this."""
    min_test_items: int = 100
    """Fewer test items cannot carry a verdict."""

    def __post_init__(self) -> None:
        for name in ("min_accuracy", "min_class_recall"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"gate.{name}: must be 0 to 1, got {getattr(self, name)}; 0.9 means 90 %")
        if not 0 < self.max_accuracy_drop <= 1:
            raise ConfigError(f"gate.max_accuracy_drop: must be above 0 and at most 1, got {self.max_accuracy_drop}")
        if self.min_test_items < 1:
            raise ConfigError(f"gate.min_test_items: must be >= 1, got {self.min_test_items}")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule's outcome."""

    name: str
    passed: bool
    value: float
    threshold: float
    reason: str
    """One line for people; says `insufficient_data` where more items, not a better model, are needed."""


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
    """Apply every rule to the scores."""
    summary = scores.summary
    rules = [
        enough_items(summary["n"], config.min_test_items),
        accuracy_floor(summary["accuracy"], summary["accuracy_low"], summary["accuracy_high"], config.min_accuracy),
    ]
    rules.append(better_than_guessing(summary["accuracy_low"], summary["confusion"]))
    if config.min_class_recall > 0:
        rules.append(class_recall_floor(dict(zip(summary["labels"], summary["recall"], strict=True)), config.min_class_recall))
    if summary["champion"] is not None:
        rules.append(non_inferior(scores, config.max_accuracy_drop))
    return Verdict(rules)


def enough_items(n: int, minimum: int) -> Rule:
    """Whether the test split can carry a verdict at all."""
    return Rule(
        "enough_items",
        n >= minimum,
        n,
        minimum,
        f"{n} test items (at least {minimum})" if n >= minimum else f"insufficient_data: {n} test items, needed are {minimum}",
    )


def accuracy_floor(accuracy: float, low: float, high: float, floor: float) -> Rule:
    """Accuracy on the test split against its floor."""
    sign = "≥" if accuracy >= floor else "<"
    reason = f"accuracy {accuracy:.4f} ({low:.4f} to {high:.4f}) {sign} {floor:.4f}"
    return Rule("accuracy", accuracy >= floor, accuracy, floor, reason)


def better_than_guessing(low: float, confusion: Sequence[Sequence[int]]) -> Rule:
    """Whether the accuracy's lower bound is above the share of the most frequent class: no configuration can waive it."""
    totals = [sum(row) for row in confusion]
    share = max(totals) / sum(totals)
    sign = ">" if low > share else "not above"
    reason = f"accuracy is at least {low:.4f}, {sign} the {share:.4f} of always naming the most frequent class"
    return Rule("better_than_guessing", low > share, low, share, reason)


def class_recall_floor(recall: Mapping[str, float | None], floor: float) -> Rule:
    """The worst class's recall against its floor; a class without test items cannot be judged."""
    if missing := [name for name, value in recall.items() if value is None]:
        return Rule("class_recall", False, 0.0, floor, f"insufficient_data: no test items of {', '.join(missing)}")
    name, worst = min(((k, v) for k, v in recall.items() if v is not None), key=lambda pair: pair[1])
    sign = "≥" if worst >= floor else "<"
    return Rule("class_recall", worst >= floor, worst, floor, f"recall of worst class '{name}' {worst:.4f} {sign} {floor:.4f}")


def non_inferior(scores: Scores, max_drop: float) -> Rule:
    """Not worse than the champion by more than `max_drop`, on items neither model was trained on."""
    champion = scores.summary["champion"]
    if champion["bundle"] == scores.summary["bundle"]:
        return Rule("non_inferior", True, 0.0, -max_drop, "the champion is this very bundle")
    if scores.fresh_N is None or scores.champion_right_N is None:
        reason = "the champion has other classes or another input: not comparable; give the model a --name of its own"
        return Rule("non_inferior", False, 0.0, -max_drop, reason)
    fresh = scores.fresh_N
    paired = paired_difference(scores.right_N[fresh], scores.champion_right_N[fresh], max_drop=max_drop)
    passed = paired.n > 0 and paired.lower > -max_drop
    numbers = f"difference {paired.difference:+.4f}, lower bound {paired.lower:+.4f} on {paired.n} items"
    if passed:
        reason = f"not worse than the champion: {numbers}, above {-max_drop:+.4f}"
    elif paired.difference <= -max_drop:
        reason = f"worse than the champion: {numbers}, not above {-max_drop:+.4f}"
    else:
        reason = (
            f"insufficient_data: cannot tell from the champion: {numbers}, not above {-max_drop:+.4f}; "
            f"about {paired.needed} items would do"
        )
    return Rule("non_inferior", passed, paired.lower, -max_drop, reason)


def write(out: Path, scores: Scores, config: GateConfig) -> dict[str, Any]:
    """Judge, write the verdict directory (verdict.json) and return its contents."""
    judged = judge(scores, config)
    verdict = {
        "verdict": judged.verdict,
        "reasons": judged.reasons,
        "rules": [asdict(rule) for rule in judged.rules],
        "bundle": scores.summary["bundle"],
        "variant": scores.summary["variant"],
        "scores": scores.digest,
        "champion": (scores.summary["champion"] or {}).get("release", ""),
        "config": asdict(config),
    }
    with files.atomic_dir(out) as scratch:
        files.write_json(scratch / "verdict.json", _plain(verdict))
    return verdict


def _plain(value: Any) -> Any:
    """numpy scalars to Python's, recursively."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value
