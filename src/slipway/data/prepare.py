"""Raw data to a prepared data set: decode, hash, split, check, write."""

# N items, H/W px, C channels

import csv
import itertools
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slipway.data.dataset import FORMAT, META, Dataset
from slipway.data.images import ImageWriter, decode_items, shorter_side_px
from slipway.data.progress import Progress, to_stderr
from slipway.data.raw import KINDS, Item, RawData
from slipway.data.split import SPLITS, assign, fingerprint, text_hash
from slipway.errors import ConfigError, DataError, unknown
from slipway.preprocess.image import ImagePreprocess
from slipway.preprocess.text import as_text
from slipway.store import files

CHANNELS = {"cv": 3, "defect": 1}
SAMPLED_IMAGES = 100
"""Looked at to choose an input size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareConfig:
    """How raw data becomes a data set."""

    family: str
    """`cv`, `defect` or `nlp`."""
    image_px: int = 0
    """Side of the model input, 8 to 1024; 0 takes the set's own, or the median shorter side, in steps of 16 from 32 to 128."""
    channels: int = 0
    """3 or 1; 0 takes the family's: cv 3, defect 1."""
    fit: str = "crop"
    """`crop` or `stretch`, see `ImagePreprocess`."""
    train_fraction: float = 0.8
    """Share of the items, above 0."""
    validation_fraction: float = 0.1
    """Share of the items, above 0; what is left of 1 is the test split, unless the set has its own."""
    seed: int = 0
    """Of the split; another one deals the items anew."""
    max_unreadable: int = 20
    """Images that may be unreadable; they are left out and listed in dataset.json."""

    def __post_init__(self) -> None:
        if self.family not in KINDS:
            raise ConfigError(unknown("family", self.family, KINDS))
        for name in ("train_fraction", "validation_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name}: must be above 0 and below 1, got {getattr(self, name)}")
        if not self.train_fraction + self.validation_fraction < 1:
            both = f"{self.train_fraction} + {self.validation_fraction}"
            raise ConfigError(f"train_fraction + validation_fraction: must be below 1, the rest is the test split; got {both}")
        if self.max_unreadable < 0:
            raise ConfigError(f"max_unreadable: must be 0 or more, got {self.max_unreadable}")


@dataclass(frozen=True, slots=True)
class _Row:
    """One kept item; `at` is its place in the order of arrival."""

    digest: bytes
    label: str
    source: str
    split: str
    at: int
    slices: tuple[str, ...]


def prepare(
    raw: RawData,
    out: Path,
    config: PrepareConfig,
    *,
    test_only: bool = False,
    threads: int = 0,
    progress: Callable[[str], None] = to_stderr,
) -> Dataset:
    """Write a prepared data set, complete or not at all; equal raw data give equal bytes.

    Args:
        test_only: leaves the other splits empty: data to judge a model on, which may lack classes.
        threads: that decode images; 0 takes the cores this process may use, 4 at most.
        progress: gets a line every few seconds.
    Raises: DataError: too many unreadable images, an empty text, one class only, a class or split left empty.
    """
    if raw.kind != KINDS[config.family]:
        fitting = " or ".join(f for f, kind in KINDS.items() if kind == raw.kind)
        raise DataError(
            f"data set '{raw.name}': holds {raw.kind}s, family {config.family} takes {KINDS[config.family]}s; use {fitting}"
        )
    if len(raw.labels) < 2:
        raise DataError(f"data set '{raw.name}': one class only ({', '.join(raw.labels) or 'none'}); a model needs two or more")
    meter = Progress(f"prepare {raw.name}", len(raw.items) if isinstance(raw.items, Sequence) else 0, progress)
    with files.atomic_dir(out) as scratch:
        if raw.kind == "image":
            _write_images(raw, scratch, config, meter, threads, test_only)
        else:
            _write_texts(raw, scratch, config, meter, test_only)
    return Dataset.load(out)


def _write_images(raw: RawData, scratch: Path, config: PrepareConfig, meter: Progress, threads: int, test_only: bool) -> None:
    items = _checked(raw)
    image_px = config.image_px or raw.image_px
    if not image_px:
        first = list(itertools.islice(items, SAMPLED_IMAGES))
        items = itertools.chain(first, items)
        sides = [side for item in first if (side := shorter_side_px(item.content))]
        image_px = min(128, max(32, round(statistics.median(sides or [0]) / 16) * 16))
    preprocess = ImagePreprocess(
        height_px=image_px, width_px=image_px, channels=config.channels or CHANNELS[config.family], fit=config.fit
    )
    rows: list[_Row] = []
    skipped: list[dict[str, str]] = []
    with ImageWriter(scratch, preprocess.shape) as writer:
        for item, result in decode_items(items, preprocess, threads, is_test=lambda d, s: _assign(config, d, s) == "test"):
            meter.step()
            if isinstance(result, str):
                skipped.append({"source": item.source, "reason": result})
                if len(skipped) > config.max_unreadable:
                    some = "; ".join(f"{s['source']}: {s['reason']}" for s in skipped[:3])
                    raise DataError(
                        f"data set '{raw.name}': more than {config.max_unreadable} unreadable images (max_unreadable); {some}; "
                        f"repair or remove them"
                    )
                continue
            rows.append(_Row(result.digest, item.label, item.source, item.split, len(rows), item.slices))
            writer.add(result)
        by_split = _split(raw, rows, config, test_only)
        for split, kept in by_split.items():
            writer.finish(split, [row.at for row in kept])
    _write_tables(scratch, raw, by_split, "source", {row.at: row.source for row in rows})
    _write_meta(scratch, raw, by_split, config, preprocess.save(scratch), skipped)


def _write_texts(raw: RawData, scratch: Path, config: PrepareConfig, meter: Progress, test_only: bool) -> None:
    rows: list[_Row] = []
    texts: dict[int, str] = {}
    for item in _checked(raw):
        meter.step()
        try:
            text = as_text(item.content)
            digest = text_hash(text)
        except (DataError, UnicodeEncodeError) as exc:
            raise DataError(f"data set '{raw.name}', {item.source}: {exc}") from exc
        if not text.strip():
            raise DataError(f"data set '{raw.name}', {item.source}: empty text; give one or remove the row")
        texts[len(rows)] = text
        rows.append(_Row(digest, item.label, item.source, item.split, len(rows), item.slices))
    by_split = _split(raw, rows, config, test_only)
    _write_tables(scratch, raw, by_split, "text", texts)
    _write_meta(scratch, raw, by_split, config, None, [])


def _checked(raw: RawData) -> Iterator[Item]:
    """The items, with a file that cannot be read turned into an error of ours."""
    try:
        for item in raw.items:
            if item.label not in raw.labels:
                raise DataError(unknown(f"data set '{raw.name}', {item.source}: label", item.label, raw.labels))
            yield item
    except OSError as exc:
        raise DataError(f"data set '{raw.name}': cannot read {exc.filename or 'a file'} ({exc.strerror or exc})") from exc


def _assign(config: PrepareConfig, digest: bytes, official: str) -> str:
    return assign(
        digest,
        official,
        seed=config.seed,
        train_fraction=config.train_fraction,
        validation_fraction=config.validation_fraction,
    )


def _split(raw: RawData, rows: list[_Row], config: PrepareConfig, test_only: bool) -> dict[str, list[_Row]]:
    """Rows by split, in the order of their content; checks that a model can be trained and judged on them."""
    keep_train = any(row.split == "validation" for row in rows)  # an official validation set leaves train whole
    by_split: dict[str, list[_Row]] = {split: [] for split in SPLITS}
    for row in sorted(rows, key=lambda r: (r.digest, r.label, r.source, r.slices)):
        by_split["train" if keep_train and row.split == "train" else _assign(config, row.digest, row.split)].append(row)
    if test_only:
        if not by_split["test"]:
            raise DataError(f"data set '{raw.name}': no item of it is in its test split; give more, or others")
        return {split: kept if split == "test" else [] for split, kept in by_split.items()}
    totals, trained = Counter(row.label for row in rows), Counter(row.label for row in by_split["train"])
    for label in raw.labels:
        if not totals[label]:
            raise DataError(f"data set '{raw.name}': class '{label}' has no readable item; add some or remove the class")
    for split, kept in by_split.items():
        if not kept:
            shares = f"{config.train_fraction:g} train and {config.validation_fraction:g} validation"
            raise DataError(
                f"data set '{raw.name}': the {split} split is empty, of {len(rows)} items at {shares}; "
                f"add items, change the fractions or the seed"
            )
    for label in raw.labels:
        if not trained[label]:
            raise DataError(
                f"data set '{raw.name}': class '{label}' has no item in the train split, of {totals[label]} in all; "
                f"add items of it or change the seed"
            )
    return by_split


def _write_tables(scratch: Path, raw: RawData, by_split: dict[str, list[_Row]], column: str, values: dict[int, str]) -> None:
    index = {label: i for i, label in enumerate(raw.labels)}
    copies: Counter[str] = Counter()
    for split, kept in by_split.items():
        lines = [["id", "label", column]]
        for row in kept:
            key = row.digest[:8].hex()
            lines.append([f"{key}-{copies[key]}" if copies[key] else key, row.label, values[row.at]])
            copies[key] += 1
        _write_csv(scratch / f"{split}.csv", lines)
        if raw.slice_columns:
            _write_csv(scratch / f"{split}_slices.csv", [raw.slice_columns, *(row.slices for row in kept)])
        np.save(scratch / f"{split}_labels.npy", np.array([index[row.label] for row in kept], np.int64))


def _write_csv(path: Path, lines: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as f:
        # a lone \r would not be quoted otherwise
        csv.writer(f, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(lines)


def _write_meta(
    scratch: Path,
    raw: RawData,
    by_split: dict[str, list[_Row]],
    config: PrepareConfig,
    preprocess: dict[str, Any] | None,
    skipped: list[dict[str, str]],
) -> None:
    rows = [row for kept in by_split.values() for row in kept]
    totals = Counter(row.label for row in rows)
    counts = {split: Counter(row.label for row in kept) for split, kept in by_split.items()}
    trained = {row.digest for row in by_split["train"]}
    meaning = {
        "format": FORMAT,
        "name": raw.name,
        "description": raw.description,
        "family": config.family,
        "kind": raw.kind,
        "labels": list(raw.labels),
        "counts": {split: {label: counts[split][label] for label in raw.labels} for split in SPLITS},
        "class_balance": {label: round(totals[label] / len(rows), 6) for label in raw.labels},
        "duplicates": len(rows) - len({row.digest for row in rows}),
        "test_items_also_in_train": sum(row.digest in trained for row in by_split["test"]),
        "fingerprint": fingerprint(raw.labels, ((r.digest, r.label, s) for s, kept in by_split.items() for r in kept)),
        "preprocess": preprocess,
        "config": asdict(config),
        "official_splits": sorted({row.split for row in rows} - {""}),
        "skipped": skipped,
    }
    files.write_json(scratch / META, meaning, sort_keys=False)
