"""A data set as one PNG picture: its classes, and samples of each; equal data give equal bytes."""

# N items, H/W px, C channels

import io
import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from slipway.data.dataset import Dataset
from slipway.data.split import SPLITS

MAX_CLASSES = 20
"""Classes shown: the largest ones; more would be too small to see."""
SAMPLES = 10
"""Images of a class."""
MAX_CURVES = 8
"""Classes whose lengths get a curve: the first ones."""
TEXTS = 2
"""Texts of a class."""
COLUMNS = 115
"""Characters of a line of a sample text."""
TEXT_LINES = 3


def draw(dataset: Dataset) -> bytes:
    """Items by class and split on the left; on the right sample images, or for texts the lengths and sample texts."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    totals = {name: sum(dataset.counts[split][name] for split in SPLITS) for name in dataset.labels}
    shown = sorted(dataset.labels, key=lambda name: (-totals[name], dataset.labels.index(name)))[:MAX_CLASSES]
    shown = [name for name in dataset.labels if name in shown]
    hidden = len(dataset.labels) - len(shown)
    with mpl.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        height = max(3.2, 0.8 + (0.62 if dataset.kind == "image" else 0.9) * len(shown))
        figure = Figure(figsize=(12, height), layout="constrained")
        FigureCanvasAgg(figure)
        title = f"{dataset.name}: {sum(totals.values()):,} {dataset.kind}s of {len(dataset.labels)} classes"
        figure.suptitle(title + (f"; the {len(shown)} largest are shown" if hidden else ""), fontsize=10)
        panels: Any = figure.subfigures(1, 2, width_ratios=(1, 1.9))
        _classes(panels[0].subplots(), dataset, shown)
        (_images if dataset.kind == "image" else _texts)(panels[1], dataset, shown)
        target = io.BytesIO()
        figure.savefig(target, format="png", dpi=100, metadata={"Software": None})
    return target.getvalue()


def _classes(axes: Any, dataset: Dataset, shown: Sequence[str]) -> None:
    start_K = np.zeros(len(shown), np.int64)
    for split in SPLITS:
        counts_K = np.array([dataset.counts[split][name] for name in shown])
        axes.barh(range(len(shown)), counts_K, left=start_K, height=0.7, label=split)
        start_K += counts_K
    for k, total in enumerate(start_K):
        axes.annotate(f"{total:,}", (total, k), (3, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(shown)), [_short(name, 24) for name in shown])
    axes.set(xlabel="items", xlim=(0, max(1, 1.18 * start_K.max())))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.4, 1.0))


def _images(panel: Any, dataset: Dataset, shown: Sequence[str]) -> None:
    """A row for each class, beside its bar."""
    split = _fullest(dataset)
    images_NHWC, labels_N = dataset.arrays(split)
    axes = panel.subplots()
    height, width, channels = images_NHWC.shape[1:]
    gap = max(1, width // 16)
    sheet = np.full((len(shown) * (height + gap) - gap, SAMPLES * (width + gap) - gap, channels), 255, np.uint8)
    for row, name in enumerate(shown):
        for column, i in enumerate(np.flatnonzero(labels_N == dataset.labels.index(name))[:SAMPLES]):
            top, start = row * (height + gap), column * (width + gap)
            sheet[top : top + height, start : start + width] = images_NHWC[i]
    axes.imshow(sheet.squeeze(axis=2) if channels == 1 else sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    centres = [row * (height + gap) + height / 2 for row in range(len(shown))]
    axes.set_yticks(centres, [_short(name, 24) for name in shown])
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"from {split}, as the model sees them ({width} x {height} px)", fontsize=8)


def _texts(panel: Any, dataset: Dataset, shown: Sequence[str]) -> None:
    """Lengths by class, and under it the beginnings of a few texts of each."""
    from matplotlib.ticker import LogLocator, NullLocator

    split = _fullest(dataset)
    texts, labels_N = dataset.texts(split), dataset.label_indices(split)
    lengths_N = np.array([max(1, len(text.split())) for text in texts])
    lengths, samples = panel.subplots(2, 1, height_ratios=(1, max(1.0, 0.55 * len(shown))))
    low, high = int(lengths_N.min()), int(lengths_N.max()) + 1
    edges = np.unique((np.geomspace if high > 20 * low else np.linspace)(low, high, 25).round())
    for name in shown[:MAX_CURVES]:
        chosen = lengths_N[labels_N == dataset.labels.index(name)]
        lengths.hist(chosen, bins=edges, histtype="step", label=_short(name, 24))
    lengths.set(xlabel="words", ylabel="texts")
    if high > 20 * low:
        lengths.set_xscale("log")
        lengths.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        lengths.xaxis.set_minor_locator(NullLocator())
    lengths.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    lengths.set_title(f"length, of {split}", fontsize=8)
    lengths.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1.05))
    lines = []
    for name in shown:
        lines.append(f"{_short(name, 60)}:")
        for i in np.flatnonzero(labels_N == dataset.labels.index(name))[:TEXTS]:
            lines += textwrap.wrap(
                "".join(c if c.isprintable() else " " for c in texts[i]), COLUMNS, max_lines=TEXT_LINES, placeholder=" …",
                initial_indent="   – ", subsequent_indent="     ",
            )  # fmt: skip
    samples.text(0, 1, "\n".join(lines), va="top", fontsize=7.5, transform=samples.transAxes)
    samples.set_axis_off()


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"


def _fullest(dataset: Dataset) -> str:
    """The split with most items: `train`, unless the set is one to judge models on."""
    return max(SPLITS, key=lambda split: len(dataset.label_indices(split)))
