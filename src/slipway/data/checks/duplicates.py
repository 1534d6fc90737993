"""Findings about items that are there more than once: across splits, within one, and with different labels."""

# N items, P pairs

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from slipway.data.checks.config import CheckConfig
from slipway.data.checks.found import Found
from slipway.data.checks.items import Items
from slipway.data.checks.near_images import near_images
from slipway.data.checks.near_texts import near_texts
from slipway.data.checks.pairs import Pairs
from slipway.data.split import SPLITS

CROWDED, STRICT = 0.5, 0.98
"""Where more than this share of images has a near duplicate they are drawings, digits or the like: a pair must be closer."""
LISTED_OF_A_GROUP = 4
"""A content that is there a thousand times fills no list."""


def equal_groups(items: Items) -> list[list[int]]:
    """Positions of items with equal prepared pixels, or equal texts; groups of two or more, in order."""
    by_content: dict[bytes, list[int]] = defaultdict(list)
    if items.texts:
        for i, text in enumerate(items.texts):
            by_content[hashlib.sha256(text.encode()).digest()].append(i)
    else:
        images = (image for chunk in items.images(np.arange(len(items))) for image in chunk)
        for i, image in enumerate(images):
            by_content[hashlib.sha256(image.tobytes()).digest()].append(i)
    return [group for group in by_content.values() if len(group) > 1]


def near_pairs(items: Items, config: CheckConfig) -> tuple[Pairs, str]:
    """Pairs of items that are almost equal, the equal ones among them; and what a finding has to say of how they were found."""
    sample = items.sample(config.near_items)
    if items.texts:
        pairs = near_texts([items.texts[i] for i in sample], least=config.near_text)
    else:
        pairs = near_images(items.images(sample), least=config.near_image)
    note = f"; looked for among {len(sample)} of {len(items)} items" if len(sample) < len(items) else ""
    if not items.texts and len(np.union1d(pairs.a_P, pairs.b_P)) > CROWDED * len(sample):
        pairs = pairs.pick(pairs.score_P >= STRICT)
        note += f"; only those alike by {STRICT} count, as most images of this set are alike by {config.near_image:g}"
    return Pairs(sample[pairs.a_P], sample[pairs.b_P], pairs.score_P), note


def exact_across_splits(items: Items, groups: Sequence[list[int]]) -> Found | None:
    """Equal items in two or three splits."""
    across = [group for group in groups if len(set(items.split_N[group])) > 1]
    if not across:
        return None
    held_out = sum(int((items.split_N[group] > 0).sum()) for group in across if 0 in items.split_N[group])
    return Found(
        count=len(across),
        message=f"{len(across)} contents are in more than one split; {held_out} validation and test items are in train as well",
        advice="remove the copies, or drop the official split so that equal items stay together",
        groups=[_one_of_each_split(items, group) for group in across],
        notes=["equal"] * len(across),
    )


def exact_within_split(items: Items, groups: Sequence[list[int]]) -> Found | None:
    """Equal items in one split."""
    parts = [[i for i in group if items.split_N[i] == split] for group in groups for split in range(len(SPLITS))]
    within = sorted((part for part in parts if len(part) > 1), key=len, reverse=True)
    if not within:
        return None
    extra = sum(len(part) - 1 for part in within)
    return Found(
        count=extra,
        message=f"{extra} items repeat another one of their split ({len(within)} contents)",
        advice="remove the copies, unless it is meant that they count more",
        groups=[part[:LISTED_OF_A_GROUP] for part in within],
        notes=[f"{len(part)} copies" for part in within],
    )


def near_across_splits(items: Items, pairs: Pairs, note: str, same: Callable[[int, int], bool]) -> Found | None:
    """Almost equal items in different splits; equal ones are another check's."""
    crossing = pairs.pick(items.split_N[pairs.a_P] != items.split_N[pairs.b_P])
    kept = [(a, b, s) for a, b, s in _triples(crossing) if not same(a, b)]
    if not kept:
        return None
    parts = []
    for split in (2, 1):
        doubled = {i for a, b, _ in kept for i in (a, b) if items.split_N[i] == split and 0 in items.split_N[[a, b]]}
        total = items.starts[split + 1] - items.starts[split]
        parts.append(f"{len(doubled)} of {total} {SPLITS[split]} items ({100 * len(doubled) / total:.1f} %)")
    return Found(
        count=len(kept),
        message=f"{len(kept)} pairs are almost equal across splits; in train: {' and '.join(parts)}{note}",
        advice="look at the pairs; remove the copies from train, or scores are too good by what they give away",
        groups=[[a, b] for a, b, _ in kept],
        notes=[f"alike {s:.2f}" for *_, s in kept],
    )


def label_conflicts(items: Items, groups: Sequence[list[int]], pairs: Pairs, note: str) -> Found | None:
    """Equal or almost equal items with different labels."""
    equal = [_one_of_each_label(items, group) for group in groups if len(set(items.labels_N[group])) > 1]
    listed = {pair for group in equal for pair in pairwise(group)}
    other = pairs.pick(items.labels_N[pairs.a_P] != items.labels_N[pairs.b_P])
    near = [(a, b, s) for a, b, s in _triples(other) if (a, b) not in listed]
    if not equal and not near:
        return None
    names = Counter(_labels(items, group) for group in [*equal, *([a, b] for a, b, _ in near)])
    often = ", ".join(f"{label} {n}" for label, n in names.most_common(3))
    return Found(
        count=len(equal) + len(near),
        message=f"{len(equal)} equal and {len(near)} almost equal contents have different labels ({often}){note}",
        advice="decide on one label for each, or remove them",
        groups=[*equal, *([a, b] for a, b, _ in near)],
        notes=["equal"] * len(equal) + [f"alike {s:.2f}" for *_, s in near],
    )


def same_group(groups: Sequence[list[int]]) -> Callable[[int, int], bool]:
    """Whether two positions hold equal contents."""
    group_of = {i: number for number, group in enumerate(groups) for i in group}
    return lambda a, b: a in group_of and group_of[a] == group_of.get(b)


def _triples(pairs: Pairs) -> list[tuple[int, int, float]]:
    return list(zip(pairs.a_P.tolist(), pairs.b_P.tolist(), pairs.score_P.tolist(), strict=True))


def _one_of_each(keys_N: NDArray[np.int64], group: list[int]) -> list[int]:
    return sorted({int(keys_N[i]): i for i in reversed(group)}.values())


def _one_of_each_split(items: Items, group: list[int]) -> list[int]:
    return _one_of_each(items.split_N, group)


def _one_of_each_label(items: Items, group: list[int]) -> list[int]:
    return _one_of_each(items.labels_N, group)


def _labels(items: Items, group: Sequence[int]) -> str:
    return "/".join(sorted({items.dataset.labels[items.labels_N[i]] for i in group}))
