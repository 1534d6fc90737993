"""Pictures of the report."""

# N items, K classes

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slipway import metrics
from slipway.evaluation.scores import Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_CURVES = 10
"""Classes that get a curve of their own: the worst ones."""
MAX_NAMED = 30
"""Classes whose names and counts fit a confusion matrix."""
COLUMNS = 2
"""Of panels of disturbances: on a phone's width their letters can still be read."""
POINTS = 200
"""Of a curve at most: finer steps cannot be seen."""


def learning_curve(history: Sequence[Mapping[str, Any]], what: str, best_epoch: int) -> "Figure":
    """Training and validation by epoch; the kept epoch is marked.

    Args:
        history: records of epochs, as model.json of a checkpoint has them.
        what: `loss` (nats) or `accuracy`.
    """
    epochs = [row["epoch"] for row in history]
    figure, axes = _panel()
    mark = "o-" if len(epochs) < 25 else "-"
    axes.plot(epochs, [row[f"train_{what}"] for row in history], mark, ms=3, label="training")
    axes.plot(epochs, [row[f"val_{what}"] for row in history], mark, ms=3, label="validation")
    axes.axvline(best_epoch, color="0.6", lw=1, ls=":", label=f"kept: epoch {best_epoch}")
    axes.set(xlabel="epoch", ylabel="loss (nats)" if what == "loss" else what)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8)
    return figure


def confusion_matrix(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> "Figure":
    """Counts, each row coloured by its share of the true class; names and counts only where they fit."""
    counts_KK = np.array(confusion)
    share_KK = counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)
    side = min(9.0, 2.6 + 0.5 * len(labels))
    figure = _figure(side, side * 0.9)
    axes = figure.subplots()
    axes.imshow(share_KK, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="answer", ylabel="true class")
    if len(labels) <= MAX_NAMED:
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), labels)
        for (row, column), count in np.ndenumerate(counts_KK):
            color = "white" if share_KK[row, column] > 0.5 else "0.15"
            axes.text(column, row, str(count) if count else "·", ha="center", va="center", color=color, fontsize=8)
    return figure


def roc(scores: Scores) -> "Figure":
    """ROC curve of each class against the rest; of many classes, those with the least average precision."""
    figure, axes = _panel()
    for name, row, true_T, false_T in _judged(scores):
        alarms_T, found_T = np.r_[0, false_T / false_T[-1]], np.r_[0, true_T / true_T[-1]]
        axes.plot(alarms_T, found_T, lw=1.3, label=f"{name} {row['roc_auc']:.3f}")
    axes.plot([0, 1], [0, 1], color="0.7", lw=1, ls=":")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC, area", ylim=(0, 1.03))
    axes.legend(frameon=False, fontsize=7, loc="lower right")
    return figure


def precision_recall(scores: Scores) -> "Figure":
    """Precision over recall of each class against the rest; of many classes, those with the least average precision."""
    figure, axes = _panel()
    for name, row, true_T, false_T in _judged(scores):
        label = f"{name} {row['average_precision']:.3f}"
        axes.step(true_T / true_T[-1], true_T / (true_T + false_T), where="post", lw=1.3, label=label)
    axes.set(xlabel="recall", ylabel="precision", title="precision and recall, average precision", ylim=(0, 1.03))
    axes.legend(frameon=False, fontsize=7, loc="lower left")
    return figure


def _judged(scores: Scores) -> Iterator[tuple[str, Mapping[str, Any], NDArray[np.floating], NDArray[np.floating]]]:
    """Classes that get curves: name, numbers, true and false positives by threshold, thinned to what can be seen."""
    classes = scores.summary["classes"]
    judged = [k for k, row in enumerate(classes) if row["average_precision"] is not None and row["roc_auc"] is not None]
    for k in sorted(sorted(judged, key=lambda k: classes[k]["average_precision"])[:MAX_CURVES]):
        true_1T, false_1T = metrics.threshold_counts(scores.labels_N == k, scores.probabilities_NK[:, k])
        some_T = np.unique(np.linspace(0, true_1T.shape[1] - 1, POINTS).astype(int))
        yield _short(scores.summary["labels"][k]), classes[k], true_1T[0, some_T], false_1T[0, some_T]


def reliability(bins: Mapping[str, Sequence[float | None]]) -> "Figure":
    """Accuracy against confidence with its 95 % interval, and how many items each bin holds.

    Args:
        bins: `reliability` of `summary.summarise`.
    """
    count_B = np.array(bins["count"], float)
    edges_B = np.linspace(0, 1, len(count_B) + 1)
    figure = _figure(4.4, 4.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="0.7", lw=1, ls=":")
    there = [b for b, n in enumerate(count_B) if n]
    share_B = np.array([bins["accuracy"][b] for b in there])
    rights_B = np.rint(share_B * count_B[there]).astype(int)
    bounds_B2 = np.array([metrics.wilson_interval(int(r), int(n)) for r, n in zip(rights_B, count_B[there], strict=True)])
    beyond_2B = np.abs(bounds_B2.T - share_B)
    upper.errorbar([bins["confidence"][b] for b in there], share_B, yerr=beyond_2B, fmt="o", ms=4, lw=1)
    upper.set(ylabel="accuracy", ylim=(0, 1.03), xlim=(0, 1))
    lower.bar(edges_B[:-1], count_B, width=np.diff(edges_B), align="edge", color="C0", alpha=0.6)
    lower.set(xlabel="confidence", ylabel="items")
    upper.grid(alpha=0.3)
    return figure


def robustness(result: Mapping[str, Any]) -> "Figure":
    """Accuracy over the strength of each disturbance, with its 95 % interval and the undisturbed accuracy.

    Args:
        result: of `robustness.measure`.
    """
    lines = -(-len(result["corruptions"]) // COLUMNS)
    figure = _figure(6.4, 1.9 * lines)
    panels = figure.subplots(lines, COLUMNS, squeeze=False, sharey=True).ravel()
    for axes, (name, headline) in zip(panels, result["corruptions"].items(), strict=False):
        rows = [row for row in result["rows"] if row["corruption"] == name]
        places = range(len(rows))
        axes.axhline(result["accuracy"], color="0.5", linestyle="--", linewidth=1)
        axes.fill_between(places, [r["accuracy_low"] for r in rows], [r["accuracy_high"] for r in rows], alpha=0.2, linewidth=0)
        axes.plot(places, [r["accuracy"] for r in rows], "o-", markersize=4)
        axes.set_xticks(places, [f"{r['severity']:g}" for r in rows])
        axes.set_title(name, fontsize=9)
        axes.set_xlabel(headline["unit"], fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.set_ylim(0, 1.02)
    for axes in panels[len(result["corruptions"]) :]:
        axes.set_axis_off()
    for axes in panels[::COLUMNS]:
        axes.set_ylabel("accuracy", fontsize=8)
    return figure


def ladder(rows: Sequence[Mapping[str, Any]]) -> "Figure":
    """Accuracy with its 95 % interval against milliseconds of one item; the area of a dot is the file's size.

    Args:
        rows: of `variants.compare`; those over the budget are hollow.
    """
    figure = _figure(5.2, 3.4 + 0.1 * len(rows))
    axes = figure.subplots()
    largest = max(row["mb"] for row in rows)
    for i, row in enumerate(rows):
        color = f"C{i % 10}"
        reach = [[row["accuracy"] - row["accuracy_low"]], [row["accuracy_high"] - row["accuracy"]]]
        axes.errorbar(row["ms"], row["accuracy"], yerr=reach, fmt="none", ecolor=color, capsize=3, alpha=0.6)
        fill = color if row["allowed"] else "none"
        area, name = max(12, 240 * row["mb"] / largest), f"{row['variant']}, {row['mb']:.3g} MB"
        name += "" if row["allowed"] else ", over budget"
        axes.scatter(row["ms"], row["accuracy"], s=area, facecolor=fill, edgecolor=color, zorder=3, label=name)
    axes.set(xlabel="one item, milliseconds", ylabel="accuracy, 95 % interval")
    axes.set_xlim(0, 1.1 * max(row["ms"] for row in rows))
    axes.margins(y=0.2)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=7, markerscale=0.6)
    return figure


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _panel() -> tuple["Figure", Any]:
    """A figure of one pair of axes, made for half of a page or the width of a phone."""
    figure = _figure(4.8, 3.8)
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def _figure(width_in: float, height_in: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def svg(figure: "Figure") -> str:
    """An SVG element as a page takes it in; equal figures give equal text."""
    import matplotlib

    target = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "slipway", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = target.getvalue()
    return text[text.index("<svg") :]


def png(figure: "Figure") -> bytes:
    """A PNG file on white."""
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return target.getvalue()
