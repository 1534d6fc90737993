"""The report is one page that needs nothing else, and says what the verdict and the numbers say."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from slipway import bundle as bundles
from slipway.config import configured
from slipway.data.checks.check import check
from slipway.data.checks.config import CheckConfig
from slipway.data.prepare import PrepareConfig, prepare
from slipway.data.raw import Item, RawData
from slipway.evaluation import gate, scores
from slipway.evaluation.report import pages
from slipway.evaluation.report.material import Material
from slipway.export.onnx import export
from slipway.training.train import train
from tests.helpers import datasets
from tests.helpers.training import config

ARCHITECTURES = {"cv": "lenet5", "defect": "defect_small", "nlp": "tfidf_logreg"}


class Page(HTMLParser):
    """What a browser would do with a page: what it fetches, what it runs, what it shows."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched, self.tags, self.open, self.text = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data")]

    def handle_data(self, data):
        self.text.append(data)


def material(family, base, *, dataset=None, **rules) -> Material:
    dataset = dataset or datasets.of_family(family, base / "data")
    checkpoint = train(dataset, config(ARCHITECTURES[family], base), base / "checkpoint")
    bundle = bundles.load(export(checkpoint, dataset, base / "bundle"))
    champion = bundles.load(
        export(train(dataset, config(ARCHITECTURES[family], base, seed=1), base / "c1"), dataset, base / "b1")
    )
    out = scores.evaluate(bundle, dataset, base / "scores", champion=champion, robustness_items=8)
    scored = scores.load(out)
    asked = {"min_accuracy": 0.0, "min_class_recall": 0.0, "min_test_items": 5, "max_accuracy_drop": 1.0} | rules
    check(dataset, CheckConfig(), base / "checked")
    return Material(
        model=f"{family}-tiny",
        run_id="run-1",
        scores=scored,
        verdict=gate.verdict_of(scored, configured(gate.GateConfig, asked, where="gate")),
        bundle=bundle,
        dataset=dataset,
        checked=base / "checked",
        history=json.loads((checkpoint / "model.json").read_text())["history"],
        seconds=json.loads((checkpoint / "timings.json").read_text()),
    )


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_a_page_of_every_family_needs_nothing_from_elsewhere(family, tmp_path):
    told = material(family, tmp_path)
    pages.write(tmp_path / "report", told)
    for name in ("report.html", "model_card.html"):
        html = (tmp_path / "report" / name).read_text(encoding="utf-8")
        page = Page(html)
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.fetched), page.fetched
        assert not {"script", "link", "iframe", "object"} & set(page.tags)
        assert not re.search(r"@import|url\((?!#)", html)
        shown = " ".join(page.text)
        assert f"{family}-tiny" in shown
        assert all(label in shown for label in told.bundle.labels)
    assert "Against the champion" in (tmp_path / "report" / "report.html").read_text()
    with Image.open(tmp_path / "report" / "confusion_matrix.png") as matrix:
        assert min(matrix.size) > 300
        assert matrix.convert("L").getextrema()[0] < 100, "something is drawn"
    assert " style=" not in (tmp_path / "report" / "model_card.html").read_text()
    card = (tmp_path / "report" / "model_card.md").read_text()
    assert f"| accuracy | {told.scores.summary['accuracy']:.4g} |" in card
    assert "--set architecture=" in card


def test_a_card_names_files_without_the_places_of_the_machine_they_were_on(tmp_path):
    told = material("cv", tmp_path)
    meta = told.bundle.meta
    config = meta["config"] | {"pretrained": "/home/somebody/weights.safetensors"}
    told = replace(told, bundle=replace(told.bundle, meta={**meta, "architecture": "resnet18", "config": config}))
    card = pages.card_markdown(told)
    assert "--set pretrained=weights.safetensors" in card
    assert "somebody" not in card


@pytest.mark.parametrize("family", ["cv", "nlp"])
def test_a_mistake_is_shown_with_what_its_answer_rests_on(family, tmp_path):
    told = material(family, tmp_path)
    wrong = told.scores.labels_N.copy()
    wrong[0] = (told.scores.probabilities_NK[0].argmax() + 1) % len(told.bundle.labels)
    told = replace(told, scores=replace(told.scores, labels_N=wrong))
    page = pages.report(told).partition('id="mistakes"')[2].partition("</section>")[0]
    if family == "nlp":
        assert 'class="word"' in page
    else:
        assert page.count("<img") == 2 * page.count("<li") > 0


def test_a_refused_model_says_why_at_the_top(tmp_path):
    told = material("nlp", tmp_path, min_test_items=1000)
    head = pages.report(told).partition('<section id="gate">')[0]
    assert "refused" in head
    assert "insufficient_data: " in head


def test_names_of_the_users_cannot_become_markup(tmp_path):
    labels = ("bad", '<script>alert("x")</script> | good')
    items = [Item(f"<script>{i}</script> {'poor' if i % 2 else 'fine'} film", labels[1 - i % 2], f"row {i}") for i in range(80)]
    raw = RawData(name="tiny", kind="text", labels=labels, items=items)
    told = material("nlp", tmp_path, dataset=prepare(raw, tmp_path / "data", PrepareConfig(family="nlp")))
    assert "script" not in Page(pages.report(told)).tags
    assert "script" not in Page(pages.card_page(told)).tags


@pytest.mark.parametrize("family", ["cv", "nlp"])
def test_without_time_for_explanations_mistakes_are_shown_all_the_same(family, tmp_path, monkeypatch):
    told = material(family, tmp_path)
    wrong = told.scores.labels_N.copy()
    wrong[:3] = (told.scores.probabilities_NK[:3].argmax(axis=1) + 1) % len(told.bundle.labels)
    told = replace(told, scores=replace(told.scores, labels_N=wrong))
    explained = pages.report(told)
    monkeypatch.setattr(pages, "EXPLAIN_S", -1.0)
    plain = pages.report(told)
    assert "what its answer rests on" in explained or 'class="word"' in explained
    assert "what its answer rests on" not in plain
    assert 'class="word"' not in plain
    assert plain.count("<li>") == explained.count("<li>") >= 3
