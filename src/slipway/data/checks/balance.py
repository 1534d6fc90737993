"""Classes that are rare in the train split."""

from slipway.data.checks.config import CheckConfig
from slipway.data.checks.found import Found
from slipway.data.checks.items import Items


def class_imbalance(items: Items, config: CheckConfig) -> Found | None:
    """Classes with less than 1/`imbalance_ratio` of the largest one's items."""
    counts = items.dataset.counts["train"]
    largest = max(counts, key=lambda label: counts[label])
    rare = sorted((n, label) for label, n in counts.items() if n * config.imbalance_ratio < counts[largest])
    if not rare:
        return None
    named = ", ".join(f"{label} {n}" for n, label in rare[:5])
    more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
    return Found(
        count=len(rare),
        message=f"{len(rare)} of {len(counts)} classes are rare in train: {named}{more}, against {largest} {counts[largest]}",
        advice="add items of them, or train with class_weights=true and judge by recall per class",
    )
