"""The playground in a real browser: what a person does there, and what must not happen meanwhile."""

import json
import shutil
import subprocess
import sys
import threading
from html import escape

import numpy as np
import pytest

from slipway import bundle as bundles
from slipway.server.app import create_app
from slipway.server.bundle_model import BundleModel
from slipway.server.models import served_model
from slipway.store import files
from tests.helpers.browser import CTRL, SHIFT, chromium
from tests.helpers.bundles import image, make_bundle, make_items, make_release, png
from tests.helpers.servers import DEADLINE_S, running

pytestmark = pytest.mark.integration

MARKUP = "<img src=x onerror=alert(1)>"
MANY = [MARKUP, *(f"class {k}" for k in range(11))]
ABOUT = {
    "data": {"name": "signs", "fingerprint": "0" * 64, "counts": {"train": {MARKUP: 3}, "test": {MARKUP: 1}}},
    "training": {"best": {"epoch": 2, "val_accuracy": 0.9, "val_loss": 0.1}},
    "calibration": {"temperature": 1.5, "log_loss_before": 0.4, "log_loss_after": 0.3, "kept": True},
}
TEXT = 'the film is <b>bad</b> and\nit\'s not good, "the story" is fine $HOME `x` \\n %s'
WHOLE = (
    "<!doctype html><html><head><style>p { color: red }</style></head><body><h1>signs</h1><h2>Limits</h2>"
    f"<p class='error'>{escape(MARKUP)} <b>is</b> <code>weak</code></p><form><input></form>"
    f"<table><tbody><tr><td>recall</td><td>0.5<img src='x'></td></tr></tbody></table></body></html>"
)
BARS = "[...document.querySelectorAll('#bars li')].map((li) => [...li.querySelectorAll('span')].map((s) => s.textContent))"
PIXELS = """(() => {
  const { width, height } = document.getElementById('heatmap');
  const pen = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  pen.drawImage(document.getElementById('heatmap'), 0, 0);
  return [...pen.getImageData(0, 0, width, height).data].join();
})()"""
CONTRASTS = """(() => {
  const pen = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const light = (colours) => {
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    const [r, g, b] = [...pen.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
    if (!own.length || !element.checkVisibility() || element.disabled) continue;
    const grounds = [];
    for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
    const behind = light(['white', ...grounds]), text = light(['white', ...grounds, getComputedStyle(element).color]);
    const ratio = (Math.max(behind, text) + 0.05) / (Math.min(behind, text) + 0.05);
    found.push([ratio, `${element.tagName} ${own[0].data.trim().slice(0, 40)}`]);
  }
  return found;
})()"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """An image model of twelve classes, whose release tells of its making, and the plain tiny ones of all families."""
    root = tmp_path_factory.mktemp("playground")
    served = {family: make_bundle(family, root / family) for family in ("cv", "defect", "nlp")}
    (root / "card").write_text(WHOLE, encoding="utf-8")
    signs = make_bundle("cv", root / "signs-bundle", labels=MANY, **ABOUT)
    return served | {"signs": make_release(signs, root / "signs", card=root / "card")}


@pytest.fixture(scope="module")
def server(models):
    """Its URL, with a slash at the end."""
    with running(create_app([served_model(name, str(path)) for name, path in models.items()])) as client:
        yield f"{client.base_url}/"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def page(browser, server):
    """The page, opened anew; afterwards it must have asked nobody else and have nothing to complain of."""
    browser.open("about:blank")
    browser.look()
    browser.requested.clear()
    browser.complaints.clear()
    browser.open(server)
    browser.until("!document.getElementById('ask').disabled")
    yield browser
    assert browser.complaints == []
    assert all(url.startswith((server, "data:")) for url in browser.requested), browser.requested
    assert browser.value("document.querySelectorAll('img').length") == 0, "markup of a label or a text took effect"


def choose(page, name):
    page.value(f"document.getElementById('model').value = {name!r}")
    page.value("document.getElementById('model').dispatchEvent(new Event('change'))")
    page.until("!document.getElementById('ask').disabled")


def click(page, selector):
    page.value(f"document.querySelector({selector!r}).click()")


def text_of(page, selector):
    return page.value(f"document.querySelector({selector!r}).textContent")


def answered(page):
    page.until("document.querySelectorAll('#bars li').length && !document.querySelector('[aria-busy]')")


def type_text(page, text):
    page.value("document.getElementById('text').focus(); document.getElementById('text').select()")
    page.type(text)


def percent(share):
    return "< 0.1 %" if 0 < share < 0.001 else "> 99.9 %" if 0.999 < share < 1 else f"{100 * share:.1f} %"


def expected_bars(bundle, item):
    (probabilities_K,) = bundles.load(bundle).predict([item])
    return [[bundles.load(bundle).labels[k], percent(float(probabilities_K[k]))] for k in np.argsort(-probabilities_K)]


@pytest.mark.parametrize("name", ["cv", "defect", "nlp", "signs"])
def test_example_of_every_family_is_answered_with_sorted_bars_and_the_time(page, models, name):
    choose(page, name)
    click(page, "#example")
    answered(page)
    bundle = bundles.load(models[name])
    bars = expected_bars(models[name], bundles.selftest_items(bundle)[0])
    assert page.value(BARS) == bars[:10]
    assert text_of(page, "#answer .label") == bars[0][0]
    told = text_of(page, "#answer .muted")
    assert told.startswith(f"confidence {bars[0][1]}, answered in ")
    assert 0 < float(told.split()[-2]) < 1000 * DEADLINE_S
    page.until("!document.getAnimations().length")  # the bars grow
    widths = page.value("[...document.querySelectorAll('.fill')].map((f) => f.getBoundingClientRect().width)")
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1]


def test_more_than_ten_classes_are_shown_when_asked_for(page, models):
    choose(page, "signs")
    click(page, "#example")
    answered(page)
    assert (len(page.value(BARS)), text_of(page, "#all")) == (10, "Show all 12 classes")
    click(page, "#all")
    assert {label for label, _ in page.value(BARS)} == set(MANY)
    click(page, "#all")
    assert len(page.value(BARS)) == 10


def test_file_is_answered_and_its_heatmap_follows_the_slider(page, models, tmp_path):
    choose(page, "signs")
    wide = image(np.random.default_rng(0), 60, 3)[10:40]
    (tmp_path / "wide.png").write_bytes(png(wide))
    click(page, "#explain")
    page.set_files("#file", [tmp_path / "wide.png"])
    answered(page)
    assert page.value(BARS) == expected_bars(models["signs"], png(wide))[:10]
    size = page.value("[document.getElementById('heatmap').width, document.getElementById('heatmap').height]")
    assert size == [300, 150], "the image, enlarged by a whole number"
    drawn = page.value(PIXELS)
    page.value("document.getElementById('opacity').focus()")
    page.press("ArrowRight")
    assert page.value(PIXELS) != drawn
    page.value("document.getElementById('opacity').value = 0; drawHeat()")
    bare = np.array(page.value(PIXELS).split(","), np.uint8).reshape(150, 300, 4)[..., :3]
    np.testing.assert_array_equal(bare[5:145:5, 80:220:5], np.repeat(np.repeat(wide, 5, 0), 5, 1)[5:145:5, 80:220:5])
    assert bare[:, :70].mean() < 0.6 * wide[:, :14].mean(), "what is cut off is dimmed"
    assert text_of(page, "#cut") == "What is dimmed is cut off before the model sees the image."
    label = page.value("document.getElementById('heatmap').getAttribute('aria-label')")
    assert label.startswith("Heatmap over the image: strongest at the ")


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_image_may_be_dropped_or_pasted(page, models, event):
    (item,) = make_items("cv", 1)
    page.value(f"""(() => {{
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from({list(item)})], "a b.png", {{ type: "image/png" }}));
      const how = {{ dataTransfer: data, clipboardData: data, bubbles: true, cancelable: true }};
      document.body.dispatchEvent(new ({"DragEvent" if event == "drop" else "ClipboardEvent"})({event!r}, how));
    }})()""")
    answered(page)
    assert page.value(BARS) == expected_bars(models["cv"], item)
    assert page.value("document.getElementById('file').files[0].name") == "a b.png"
    assert "image.png" in text_of(page, "#code"), "a name that a shell would split is not shown"


def test_words_are_marked_by_sign_and_size(page, models):
    choose(page, "nlp")
    click(page, "#explain")
    type_text(page, TEXT)
    page.press("Enter", CTRL)
    answered(page)
    assert page.value(BARS) == expected_bars(models["nlp"], TEXT)
    assert text_of(page, "#tokens") == TEXT, "every character of it, and none as markup"
    outputs = [{"name": name} for name in ("label", "tokens", "attributions")]
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [TEXT]}
    told = page.value(f"call('v2/models/nlp/infer', {json.dumps({'inputs': [tensor], 'outputs': outputs})})")
    (label,), tokens, values = [output["data"] for output in told["outputs"]]
    largest = max(map(abs, values))
    expected = [
        [token, "for" if value > 0 else "against", f"{value:+.2f}".replace("-", "−"), abs(value) / largest]
        for token, value in zip(tokens, values, strict=True)
        if abs(value) / largest >= 0.05
    ]
    marks = page.value("""[...document.querySelectorAll('#tokens mark')].map((m) =>
      [m.textContent, m.className, m.title, parseFloat(m.style.getPropertyValue('--strength'))])""")
    assert {kind for _, kind, _, _ in marks} == {"for", "against"}
    assert [[t, k, title.partition(":")[0], pytest.approx(s, abs=1e-3)] for t, k, title, s in marks] == expected
    assert text_of(page, "#legend-for") == f"speaks for {label}"
    assert max(expected, key=lambda row: row[3])[0] in text_of(page, "#strongest")


def test_broken_image_is_the_servers_one_line(page, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image at all")
    page.set_files("#file", [tmp_path / "broken.png"])
    page.until("!document.getElementById('error').hidden")
    assert text_of(page, "#error") == "item 0: not an image (15 bytes); allowed: JPEG, PNG, BMP, WEBP, TIFF"
    assert page.value("document.getElementById('error').getAttribute('role')") == "alert"
    assert page.value(BARS) == []
    (complaint,) = page.complaints
    assert "400 (Bad Request)" in complaint, "the browser's own, of the refused request"
    page.complaints.clear()
    click(page, "#example")
    answered(page)
    assert page.value("document.getElementById('error').hidden")


def test_nothing_to_ask_about_is_said_without_a_request(page):
    click(page, "#ask")
    assert text_of(page, "#error") == "Choose an image first."
    choose(page, "nlp")
    click(page, "#ask")
    assert text_of(page, "#error") == "Type a text first."
    assert not [url for url in page.requested if url.endswith("/infer")]


def test_everything_is_reached_by_keyboard(page):
    def tab_to(selector, modifiers=0):
        for _ in range(30):
            if page.value(f"document.activeElement.matches({selector!r})"):
                return
            page.press("Tab", modifiers)
        raise AssertionError(f"{selector} is not reached")

    tab_to("#model")
    assert page.value("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is seen"
    before = page.value("document.activeElement.value")
    page.press("ArrowDown")
    assert page.value("document.activeElement.value") != before
    page.until("!document.getElementById('ask').disabled")
    tab_to("#file")
    tab_to("#explain")
    page.press(" ")
    tab_to("#example")
    page.press("Enter")
    answered(page)
    tab_to("#opacity")
    drawn = page.value(PIXELS)
    page.press("ArrowRight")
    assert page.value(PIXELS) != drawn
    tab_to("[role=tab]")
    page.press("ArrowRight")
    assert text_of(page, "[role=tab][aria-selected=true]") == "Python"
    assert text_of(page, "#code").startswith("import base64")
    tab_to("#copy")
    page.press("Enter")
    page.until("document.getElementById('copied').textContent === 'Copied.'")
    tab_to("#model", SHIFT)


@pytest.mark.parametrize("explained", [False, True], ids=["plain", "explained"])
@pytest.mark.parametrize("name", ["defect", "nlp"])
@pytest.mark.parametrize("language", ["curl", "python"])
def test_shown_command_gives_the_shown_answer(page, models, tmp_path, language, name, explained):
    choose(page, name)
    if explained:
        click(page, "#explain")
    if name == "nlp":
        type_text(page, TEXT)
        click(page, "#ask")
    else:
        (item,) = make_items("defect", 1)
        (tmp_path / "part-1.png").write_bytes(item)
        page.set_files("#file", [tmp_path / "part-1.png"])
    answered(page)
    click(page, f"#tab-{language}")
    shown = text_of(page, "#code")
    command = ["sh", "-c", shown] if language == "curl" else [sys.executable, "-c", shown]
    if language == "curl" and shutil.which("curl") is None:
        pytest.skip("no curl here")
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S)
    assert result.returncode == 0, result.stderr
    label, further = text_of(page, "#answer .label"), {"nlp": "attributions", "defect": "heatmap"}[name]
    assert f"'{label}'" in result.stdout if language == "python" else json.dumps(label) in result.stdout
    assert (further in result.stdout) == explained


def test_token_is_sent_but_neither_shown_nor_kept(page):
    page.value("document.getElementById('access').open = true; document.getElementById('token').focus()")
    page.type("s3cret")
    page.press("Tab")
    page.until("!document.getElementById('ask').disabled")
    page.value("window.sent = []")
    page.value("window.fetch = ((real) => (url, how) => { sent.push(how.headers); return real(url, how); })(fetch)")
    click(page, "#example")
    answered(page)
    assert {headers["Authorization"] for headers in page.value("sent")} == {"Bearer s3cret"}
    for language in ("curl", "python"):
        click(page, f"#tab-{language}")
        assert "TOKEN" in text_of(page, "#code")
        assert "s3cret" not in text_of(page, "#code")
    assert page.value("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_card_tells_of_data_training_and_release(page, models):
    choose(page, "signs")
    facts = page.value(
        "Object.fromEntries([...document.querySelectorAll('#card dt')].map((d) => [d.textContent, d.nextSibling.textContent]))"
    )
    assert facts["Trained on"] == "signs"
    assert facts["Training"] == "best epoch 2: validation accuracy 90.0 %, loss 0.100"
    assert facts["Calibration"] == "temperature 1.50: validation loss 0.400 to 0.300"
    assert facts["As served"] == files.read_manifest(models["signs"]).digest
    rows = page.value("[...document.querySelectorAll('#card tr')].map((r) => [...r.children].map((c) => c.textContent))")
    assert rows[:3] == [["class", "train", "test"], [MARKUP, "3", "1"], ["class 0", "0", "0"]]
    choose(page, "nlp")
    assert text_of(page, "#card h3 + p") == "negative, positive", "its bundle has no counts"


def test_whole_card_opens_on_the_page_as_text_without_markup_of_its_own(page):
    choose(page, "signs")
    click(page, "#card details.wide summary")
    page.until("document.querySelector('#card details.wide table')")
    assert text_of(page, "#card details.wide h3") == "Limits"
    assert text_of(page, "#card details.wide p") == f"{MARKUP}  weak", "what is no form of text is left out"
    assert page.value("document.querySelectorAll('#card details.wide :is(img, input, b, h1, .error)').length") == 0
    assert text_of(page, "#card details.wide td:last-child") == "0.5"
    choose(page, "nlp")
    assert page.value("document.querySelector('#card details.wide') === null"), "a bundle that was not released has none"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [360, 1200])
def test_no_sideways_scrolling_and_enough_contrast(page, scheme, width_px):
    page.look(width_px=width_px, scheme=scheme, phone=width_px < 600)
    click(page, "#explain")
    for name in ("signs", "nlp"):
        choose(page, name)
        click(page, "#example")
        answered(page)
        page.value("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert page.value("document.documentElement.scrollWidth") <= width_px
        found = page.value(CONTRASTS)
        assert len(found) > 30
        assert [row for row in found if row[0] < 4.5] == []
    ground = page.value("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 382) == (scheme == "dark")


@pytest.mark.parametrize("slash", ["", "/"])
def test_page_behind_a_gateways_prefix_asks_below_it(browser, models, slash):
    app = create_app([served_model("cv", str(models["cv"]))])

    async def gateway(scope, receive, send):
        if scope["type"] == "http":
            scope = scope | {"path": scope["path"].removeprefix("/prefix") or "/" if "/prefix" in scope["path"] else "/nowhere"}
        await app(scope, receive, send)

    with running(gateway, ready=False) as client:
        browser.requested.clear()
        browser.open(f"{client.base_url}/prefix{slash}")
        browser.until("!document.getElementById('ask').disabled")
        click(browser, "#example")
        answered(browser)
        assert f"{client.base_url}/prefix/predict" in text_of(browser, "#code")
        asked = [url for url in browser.requested if not url.startswith("data:")]
        assert all(url.startswith(f"{client.base_url}/prefix") for url in asked), asked
        browser.open(browser.value("document.getElementById('docs').href"))
        assert browser.value("document.querySelector('a').href") == f"{client.base_url}/prefix/"


class Held(BundleModel):
    """A model that takes its time."""

    gate = threading.Event()

    def load(self, place):
        self.gate.wait(DEADLINE_S)
        super().load(place)


def test_model_that_is_still_loading_says_so_and_comes_later(browser, models):
    app = create_app([served_model("first", str(models["cv"])), Held("second", str(models["nlp"]))])
    try:
        with running(app, ready=False) as client:
            browser.open(f"{client.base_url}/#second")
            browser.until("document.getElementById('about').textContent === 'second is being loaded …'")
            assert browser.value("document.getElementById('ask').disabled")
            browser.until("document.querySelector('option').text === 'first · cv'")
            assert browser.value("document.querySelectorAll('option')[1].text") == "second (being loaded)"
            Held.gate.set()
            browser.until("document.querySelectorAll('option')[1].text === 'second · nlp'")
            assert browser.value("document.getElementById('text').checkVisibility()")
    finally:
        Held.gate.set()
