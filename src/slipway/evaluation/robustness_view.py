"""The result of `robustness.measure` as a picture and as text."""

import io
from collections.abc import Mapping
from typing import Any

COLUMNS = 2
"""Of panels: on a phone's width their letters can still be read."""


def draw(result: Mapping[str, Any], *, form: str = "svg") -> bytes:
    """A curve of accuracy over severity for each corruption, with its 95 % interval and the undisturbed accuracy.

    Args:
        result: of `measure`.
        form: `svg` or `png`; equal results give equal bytes.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = -(-len(result["corruptions"]) // COLUMNS)
    figure = Figure(figsize=(6.4, 1.9 * lines), layout="constrained")
    FigureCanvasAgg(figure)
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
    target = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "slipway", "svg.fonttype": "none"}):
        figure.savefig(target, format=form, dpi=100, metadata={"Date": None} if form == "svg" else {"Software": None})
    return target.getvalue()


def table(result: Mapping[str, Any]) -> str:
    """A line a corruption: mean accuracy in %, its difference to the undisturbed, and the accuracy at each severity.

    Such as `blur  mean  87.4 (-8.6)   96.0 @0.5  95.0 @1  88.5 @2  70.0 @3 % of the shorter side`.
    """
    low, high = 100 * result["accuracy_low"], 100 * result["accuracy_high"]
    lines = [
        f"undisturbed {100 * result['accuracy']:.1f} % ({low:.1f} to {high:.1f}) of {result['n']:,} items, "
        f"{result['of']:,} in the test split"
    ]
    width = max(len(name) for name in result["corruptions"])
    for name, headline in result["corruptions"].items():
        rows = [row for row in result["rows"] if row["corruption"] == name]
        curve = "  ".join(f"{100 * row['accuracy']:5.1f} @{row['severity']:<4g}" for row in rows)
        mean = f"mean {100 * headline['accuracy']:5.1f} ({100 * headline['difference']:+.1f})"
        lines.append(f"{name:{width}}  {mean}  {curve} {headline['unit']}")
    worst = result["worst"]
    lines.append(
        f"worst: {worst['corruption']} {worst['severity']:g} {worst['unit']}, {100 * worst['accuracy']:.1f} % "
        f"({100 * worst['difference']:+.1f}; {worst['lost']} lost, {worst['gained']} gained)"
    )
    return "\n".join(lines)
