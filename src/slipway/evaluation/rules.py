"""The gate's rules: pure functions over numbers. Each tells its number, its threshold and the reason, passed or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slipway.errors import ConfigError, unknown
from slipway.evaluation.compare import PairedDifference

INSUFFICIENT = "insufficient_data"
"""What the reason starts with where more items, not a better model, are needed."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule's outcome."""

    name: str
    passed: bool
    value: float
    threshold: float
    reason: str
    """One line for people."""


def enough_items(n: int, minimum: int) -> Rule:
    """Whether the test split can carry a verdict at all."""
    passed = n >= minimum
    reason = f"{n} test items (at least {minimum})" if passed else f"{INSUFFICIENT}: {n} test items, needed are {minimum}"
    return Rule("enough_items", passed, n, minimum, reason)


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
        return Rule("class_recall", False, 0.0, floor, f"{INSUFFICIENT}: no test items of {', '.join(missing)}")
    name, worst = min(((k, v) for k, v in recall.items() if v is not None), key=lambda pair: pair[1])
    sign = "≥" if worst >= floor else "<"
    return Rule("class_recall", worst >= floor, worst, floor, f"recall of worst class '{name}' {worst:.4f} {sign} {floor:.4f}")


def floor(rule: str, what: str, value: float | None, at_least: float) -> Rule:
    """A number that must not be below its threshold; one without items cannot be judged."""
    if value is None:
        return Rule(rule, False, 0.0, at_least, f"{INSUFFICIENT}: no test items to tell the {what}")
    sign = "≥" if value >= at_least else "<"
    return Rule(rule, value >= at_least, value, at_least, f"{what} {value:.4f} {sign} {at_least:.4f}")


def ceiling(rule: str, what: str, value: float, at_most: float, unit: str = "") -> Rule:
    """A number that must not be above its threshold."""
    sign = "≤" if value <= at_most else ">"
    unit = f" {unit}" if unit else ""
    return Rule(rule, value <= at_most, value, at_most, f"{what} {value:.4g}{unit} {sign} {at_most:g}{unit}")


def non_inferior(paired: PairedDifference, max_drop: float) -> Rule:
    """Not worse than the champion by more than `max_drop`: the difference's one-sided 95 % lower bound is above -max_drop."""
    passed = paired.n > 0 and paired.lower > -max_drop
    numbers = f"difference {paired.difference:+.4f}, lower bound {paired.lower:+.4f} on {paired.n} items"
    if passed:
        reason = f"not worse than the champion: {numbers}, above {-max_drop:+.4f}"
    elif paired.difference <= -max_drop:
        reason = f"worse than the champion: {numbers}, not above {-max_drop:+.4f}"
    else:
        reason = (
            f"{INSUFFICIENT}: cannot tell from the champion: {numbers}, not above {-max_drop:+.4f}; "
            f"about {paired.needed} items would do"
        )
    return Rule("non_inferior", passed, paired.lower, -max_drop, reason)


def floors(text: str, what: str) -> dict[str, float]:
    """`name=0.9, other=0.8` as thresholds by name; a name may hold `=` itself, the last one counts.

    Args:
        what: what an error starts with.
    Raises: ConfigError: not of that form, given twice, or not between 0 and 1.
    """
    found: dict[str, float] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, sign, number = (part.strip() for part in pair.rpartition("="))
        try:
            value = float(number) if sign and name else -1.0
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise ConfigError(f"{what}: '{pair}': write NAME=SHARE with a share of 0 to 1, such as cat=0.9; commas between")
        if name in found:
            raise ConfigError(f"{what}: {name} is given twice; give each name once")
        found[name] = value
    return found


def named(wanted: Mapping[str, float], there: Mapping[str, float | None], rule: str, kind: str) -> list[Rule]:
    """A floor for each name.

    Args:
        wanted: as `floors` gives them.
        there: the values by name.
        kind: what a name is, for people, such as `recall of class`.
    Raises: ConfigError: a name that is not there, with the near match.
    """
    for name in wanted:
        if name not in there:
            raise ConfigError(unknown(f"{rule}: {kind}", name, list(there)))
    return [floor(rule, f"{kind} '{name}'", there[name], at_least) for name, at_least in wanted.items()]
