"""The ladder as a picture."""

from collections.abc import Mapping, Sequence
from typing import Any

from slipway.evaluation.report.pictures import png


def draw(title: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Accuracy with its 95 % interval against milliseconds of one item, as PNG; the area of a dot is the file's size.

    Args:
        rows: of `ladder.optimise`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    largest = max(row["mb"] for row in rows)
    for i, row in enumerate(rows):
        reach = [[row["accuracy"] - row["accuracy_low"]], [row["accuracy_high"] - row["accuracy"]]]
        axes.errorbar(row["ms"], row["accuracy"], yerr=reach, fmt="none", ecolor=f"C{i % 10}", capsize=3, alpha=0.6)
        area, name = max(12, 240 * row["mb"] / largest), f"{row['variant']}, {row['mb']:.3g} MB"
        axes.scatter(row["ms"], row["accuracy"], s=area, color=f"C{i % 10}", zorder=3, label=name)
    axes.set(xlabel="one item (ms)", ylabel="accuracy, 95 % interval", title=title)
    axes.set_xlim(0, 1.1 * max(row["ms"] for row in rows))
    axes.margins(y=0.2)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    axes.grid(alpha=0.3)
    return png(figure)
