"""Comparisons and studies as PNG pictures; equal numbers give equal bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
MAX_SLICES = 8
"""Parameters that get a panel of their own; more would be too small to read."""


def draw_comparison(title: str, rows: Sequence[Row]) -> bytes:
    """Accuracy with its 95 % interval against CPU latency and against training time; both axes of time are logarithmic.

    Args:
        rows: as `compare` makes them; failed ones are left out.
    """
    shown = [row for row in rows if row["accuracy"] is not None]
    figure = _figure(11, 4.6, title)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, key, label in zip(panels, ("cpu_ms", "train_s"), ("CPU latency of one item (ms)", "training (s)"), strict=True):
        for i, row in enumerate(shown):
            reach = [[max(0.0, row["accuracy"] - row["accuracy_low"])], [max(0.0, row["accuracy_high"] - row["accuracy"])]]
            axes.errorbar(
                row[key], row["accuracy"], yerr=reach, fmt=_MARKS[i // 10 % len(_MARKS)], color=f"C{i % 10}", capsize=3
            )
            axes.annotate(row["candidate"], (row[key], row["accuracy"]), (6, 4), textcoords="offset points", fontsize=8)
        if shown:
            _logarithmic(axes, [row[key] for row in shown], room=1.5)
        axes.set(xlabel=label)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy, 95 % interval")
    return _png(figure)


def draw_study(title: str, label: str, trials: Sequence[Row], space: Mapping[str, bool], *, maximise: bool) -> bytes:
    """The study's history, and what each parameter was against what came out.

    Args:
        label: of the metric.
        trials: `number`, `state`, `value` (None where there is none), `params`.
        space: parameter -> whether its axis is logarithmic.
        maximise: whether more is better.
    """
    done = [t for t in trials if t["state"] == "complete"]
    cut = [t for t in trials if t["state"] == "pruned" and t["value"] is not None]
    names = list(space)[:MAX_SLICES]
    columns = min(3, 1 + len(names))
    lines = -(-(1 + len(names)) // columns)
    figure = _figure(4.2 * columns, 3.4 * lines, title)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    best: list[float] = []
    for t in done:
        best.append((max if maximise else min)([*best[-1:], t["value"]]))
    panels[0].plot([t["number"] for t in done], [t["value"] for t in done], "o", markersize=4, label="complete")
    panels[0].plot([t["number"] for t in cut], [t["value"] for t in cut], "x", color="0.6", markersize=4, label="pruned")
    panels[0].step([t["number"] for t in done], best, where="post", color="C1", label="best so far")
    panels[0].set(xlabel="trial", ylabel=label)
    panels[0].xaxis.get_major_locator().set_params(integer=True)
    panels[0].legend(frameon=False, fontsize=8)
    for axes, name in zip(panels[1:], names, strict=False):
        kept = [t for t in done if name in t["params"]]
        values = [t["params"][name] for t in kept]
        if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            values = ["none" if v is None else str(v) for v in values]
        axes.plot(values, [t["value"] for t in kept], "o", markersize=4)
        if space[name] and kept:
            _logarithmic(axes, values, room=1.2)
        axes.set(xlabel=name, ylabel=label)
    for axes in panels[: 1 + len(names)]:
        axes.grid(alpha=0.3)
    for axes in panels[1 + len(names) :]:
        axes.set_axis_off()
    return _png(figure)


_MARKS = "osD^v"


def _figure(width: float, height: float, title: str) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    return figure


def _logarithmic(axes: Any, values: Sequence[float], *, room: float) -> None:
    """A logarithmic x axis with plain numbers at it, a factor `room` beside the values, more on the right for their names."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = min(values), max(values)
    low, high = low / room, high * room * (high / low) ** 0.1
    wider = max(1.0, 6.3 * low / high) ** 0.5  # of 1, 2, 5, 10, two lie in every factor of 6.25
    low, high = low / wider, high * wider
    axes.set(xscale="log", xlim=(low, high))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 50 else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _png(figure: Any) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=100, metadata={"Software": None})
    return target.getvalue()
