"""The report as one self-contained HTML page, and the model card as Markdown and as a page."""

import base64
import io
import time
from pathlib import Path
from typing import Any

from PIL import Image

from slipway import bundle as bundles
from slipway.evaluation.report import pictures
from slipway.evaluation.report.material import Material
from slipway.explain import picture
from slipway.explain.explanation import explain, methods
from slipway.preprocess import Raw
from slipway.preprocess.text import as_text
from slipway.store import files

REPORT, CARD = "report.html", "model_card.md"
EXCERPT_CHARS = 400
EXPLAIN_S = 30.0
"""Mistakes are explained for about so long, the worst first: an encoder asks 256 times about one long text."""


def write(out: Path, material: Material) -> None:
    """Write report.html, model_card.md, model_card.html and confusion_matrix.png, complete or not at all."""
    matrix = pictures.confusion_matrix(material.scores.summary["confusion"], material.bundle.labels)
    pages = {REPORT: report(material), CARD: card_markdown(material), bundles.CARD: card_page(material)}
    with files.atomic_dir(out) as scratch:
        for name, text in pages.items():
            files.write_bytes(scratch / name, text.encode())
        files.write_bytes(scratch / "confusion_matrix.png", pictures.png(matrix))


def report(material: Material) -> str:
    """The whole report: HTML with its styles and pictures inside; nothing is loaded from anywhere."""
    scores, found = material.scores, material.scores.summary
    drawn = {
        "confusion": pictures.confusion_matrix(found["confusion"], material.bundle.labels),
        "roc": pictures.roc(scores),
        "precision": pictures.precision_recall(scores),
        "reliability": pictures.reliability(found["reliability"]),
    }
    if len(material.history) > 1:
        kept = material.bundle.meta["training"]["best"]["epoch"]
        drawn |= {what: pictures.learning_curve(material.history, what, kept) for what in ("loss", "accuracy")}
    if found["robustness"]:
        drawn["robustness"] = pictures.robustness(found["robustness"])
    if rows := scores.timings["variants"]:
        drawn["ladder"] = pictures.ladder(rows)
    ends = time.monotonic() + EXPLAIN_S
    mistakes = [row | _shown(row["raw"], material, explained=time.monotonic() < ends) for row in material.mistakes()]
    sheets = {f.picture: _data_uri((material.checked / f.picture).read_bytes()) for f in material.checks.findings if f.picture}
    shown = {name: pictures.svg(figure) for name, figure in drawn.items()}
    return _rendered("report.html.j2", sheets=sheets, m=material, found=found, pictures=shown, mistakes=mistakes)


def card_markdown(material: Material) -> str:
    """The model card: what it is for, on what it was trained, what it reaches, where it is weak, how to repeat it."""
    return _rendered("card.md.j2", escape=False, m=material, found=material.scores.summary)


def card_page(material: Material) -> str:
    """The model card as a self-contained page."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(card_markdown(material))
    for token in tokens:  # the page's style aligns; styles of elements are what a content security policy forbids
        token.attrs.pop("style", None)
    body = parser.renderer.render(tokens, parser.options, {})
    return _rendered("card.html.j2", title=f"{material.model}: model card", body=body)


def _shown(raw: Raw, material: Material, *, explained: bool) -> dict[str, Any]:
    """An item as a page can show it: what the model saw of an image, the beginning of a text; and why it was answered so."""
    finest = methods(material.bundle)[-1]  # what it marks costs more when it is deleted (EVALUATION.md)
    told = explain(material.bundle, [raw], method=finest)[0] if explained else None
    if material.dataset.kind == "text":
        text = as_text(raw)
        pieces = picture.beginning(picture.spans(text, told) if told else [(text, 0.0)], EXCERPT_CHARS)
        return {"pieces": pieces, "more": " …" if len(text) > EXCERPT_CHARS else ""}
    image_HWC = material.bundle.preprocess.encode([raw])["image"][0]
    seen = Image.fromarray(image_HWC[..., 0] if image_HWC.shape[2] == 1 else image_HWC)
    heatmap = told.heatmap_HW if told else None
    return {"image": _png(seen), "heatmap": "" if heatmap is None else _png(picture.overlay(image_HWC, heatmap))}


def _png(image: Image.Image) -> str:
    target = io.BytesIO()
    image.save(target, format="PNG")
    return _data_uri(target.getvalue())


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _rendered(template: str, *, escape: bool = True, **context: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("slipway.evaluation.report"),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"share": _share, "number": _number, "cell": _cell}
    return str(environment.get_template(template).render(**context))


def _share(value: float | None) -> str:
    """A share as per cent with one decimal."""
    return "–" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cell(text: str) -> str:
    """A name of the user's in a table of Markdown."""
    return str(text).replace("|", "\\|").replace("\n", " ")
