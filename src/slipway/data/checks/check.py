"""The entry: all checks of a prepared data set, and the directory with their report."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path

from slipway.data.checks import balance, duplicates, labels, lengths, report, sheets, shift, sizes
from slipway.data.checks.config import CHECKS, OFF, REFUSE, CheckConfig
from slipway.data.checks.found import Found, NotMade, Outcome
from slipway.data.checks.items import Items
from slipway.data.checks.report import Finding, Report
from slipway.data.dataset import Dataset
from slipway.data.split import SPLITS
from slipway.store import files

OF_KIND = {"image": ("odd_sizes",), "text": ("empty_texts", "long_texts")}
"""Checks that mean something for one kind of items only."""


def check(dataset: Dataset, config: CheckConfig, out: Path) -> Report:
    """Look for what makes scores too good, labels wrong or splits unlike, and write what was found.

    Files: checks.json (see `report.Report`), and a PNG for each finding about images. Equal data give equal bytes. A finding
    that refuses does not raise here: `report.refuse` does, when the report is written and can be looked at.

    28 s of one core for 60,000 images of 32 px; see `CheckConfig` for what bounds the work on larger sets.
    """
    items = Items(dataset)
    of_others = {name for kind, names in OF_KIND.items() if kind != dataset.kind for name in names}
    checks = _checks(items, config)
    asked = [name for name in CHECKS if getattr(config, name) != OFF and name not in of_others]
    found = {name: checks[name]() for name in asked}
    with files.atomic_dir(out) as scratch:
        findings = [_finding(items, config, name, one, scratch) for name, one in found.items() if isinstance(one, Found)]
        result = Report(
            dataset={
                "name": dataset.name,
                "fingerprint": dataset.fingerprint,
                "items": {split: sum(dataset.counts[split].values()) for split in SPLITS},
            },
            config=asdict(config),
            passed=[name for name, one in found.items() if one is None],
            not_made={name: one.reason for name, one in found.items() if isinstance(one, NotMade)},
            findings=findings,
        )
        report.write(scratch, result)
    return result


def _checks(items: Items, config: CheckConfig) -> dict[str, Callable[[], Outcome]]:
    """The functions by name; what several of them need is made once, by the first that asks."""
    equal = cache(partial(duplicates.equal_groups, items))
    near = cache(partial(duplicates.near_pairs, items, config))
    return {
        "exact_across_splits": lambda: duplicates.exact_across_splits(items, equal()),
        "exact_within_split": lambda: duplicates.exact_within_split(items, equal()),
        "near_across_splits": lambda: duplicates.near_across_splits(items, *near(), duplicates.same_group(equal())),
        "label_conflicts": lambda: duplicates.label_conflicts(items, equal(), *near()),
        "suspicious_labels": partial(labels.suspicious_labels, items, config),
        "class_imbalance": partial(balance.class_imbalance, items, config),
        "odd_sizes": partial(sizes.odd_sizes, items, config),
        "empty_texts": partial(lengths.empty_texts, items),
        "long_texts": partial(lengths.long_texts, items, config),
        "split_shift": partial(shift.split_shift, items, config),
    }


def _finding(items: Items, config: CheckConfig, name: str, found: Found, scratch: Path) -> Finding:
    groups: list[Sequence[int]] = []
    total = 0
    for group in found.groups:
        total += len(group)
        if total > config.listed_items and groups:
            break
        groups.append(group)
    finding = Finding(
        check=name,
        level=report.REFUSAL if getattr(config, name) == REFUSE else report.WARNING,
        count=found.count,
        message=found.message,
        advice=found.advice,
        items=items.listed(groups, found.notes[: len(groups)]),
    )
    if items.texts or not groups:
        return finding
    picture = f"{name}.png"
    sheets.draw(items.dataset, finding, scratch / picture)
    return replace(finding, picture=picture)
