"""The serving benchmark's own arithmetic: what h2load wrote, ratios with intervals, verdicts, tables. No load, no h2load."""

import math

import numpy as np
import pytest

from slipway.protocol import rest
from slipway.server.bundle_model import items_of
from tests.benchmarks.serving import h2load, models, peers, report, statistics, wire
from tests.benchmarks.serving.cells import BINARY, CELLS, JSON, PIXELS, Bar
from tests.benchmarks.serving.ours import NAME, request
from tests.benchmarks.serving.statistics import Estimate

OUT = """
finished in 1.30s, 4.00 req/s, 342.48KB/s
requests: {done} total, {done} started, {done} done, {succeeded} succeeded, {failed} failed, 0 errored, {timeout} timeout
status codes: {succeeded} 2xx, 0 3xx, 0 4xx, {failed} 5xx
traffic: 342.48KB (350700) total, 99.02KB (101400) headers (space savings 0.00%), 1.17KB ({data}) data
                     min         max         mean         sd        +/- sd
"""
GOOD = {"done": 4, "succeeded": 4, "failed": 0, "timeout": 0, "data": 1200}
LOG = "".join(f"1795729092768949\t200\t{1000 * ms}\n" for ms in (4, 1, 2, 3))


def test_a_load_is_read():
    load = h2load.parse(OUT.format(**GOOD), LOG, clients=1, seconds=2.0, answer_bytes=300)
    assert load == h2load.Load(rate=2.0, p50_ms=2.5, p99_ms=pytest.approx(3.97), count=4)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"succeeded": 3, "failed": 1}, "3 of 4 answers succeeded {'failed': 1}"),
        ({"timeout": 2}, "4 of 4 answers succeeded {'timeout': 2}"),
        ({"done": 0, "succeeded": 0}, "nothing was answered in 1 s"),
        ({"data": 900}, "4 answers have 900 bytes in all, a right one 300"),
        ({"done": 6, "succeeded": 6, "data": 1800}, "6 answers, but 4 in its log"),
    ],
)
def test_a_load_with_failures_is_none(changed, reason):
    with pytest.raises(h2load.LoadError) as refused:
        h2load.parse(OUT.format(**GOOD | changed), LOG, clients=1, seconds=1.0, answer_bytes=300)
    assert reason in str(refused.value)


def test_no_output_gives_the_reason():
    with pytest.raises(h2load.LoadError, match="connection refused"):
        h2load.parse("", "", "connection refused", clients=1, seconds=1.0, answer_bytes=1)


def test_an_interval_is_students():
    found = statistics.mean([1.0, 2.0, 3.0])
    assert (found.value, found.n) == (2.0, 3)
    assert (found.low, found.high) == pytest.approx((2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-4)


def test_a_ratio_does_not_see_what_slows_both_sides():
    found = statistics.ratio([1.0, 10.0, 100.0], [2.0, 20.0, 200.0])
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    there, back = statistics.ratio([1.0, 3.0], [2.0, 2.0]), statistics.ratio([2.0, 2.0], [1.0, 3.0])
    assert (there.value, there.low) == pytest.approx((1 / back.value, 1 / back.high))


def test_one_round_shows_no_spread():
    found = statistics.ratio([3.0], [2.0])
    assert (found.value, found.low, found.high) == (1.5, 0.0, math.inf)
    assert statistics.verdict(Bar("share", 0.5), found) == "open"


@pytest.mark.parametrize(
    ("kind", "low", "high", "said"),
    [
        ("share", 0.9, 1.0, "met"),
        ("share", 0.7, 1.0, "open"),
        ("share", 0.7, 0.8, "missed"),
        ("times", 5.0, 6.0, "met"),
        ("added", 0.5, 0.8, "met"),
        ("added", 0.5, 1.0, "open"),
        ("added", 0.9, 1.0, "missed"),
    ],
)
def test_a_bar_says_which_side_the_interval_is_on(kind, low, high, said):
    assert statistics.verdict(Bar(kind, 0.85), Estimate((low + high) / 2, low, high, 5)) == said


@pytest.mark.parametrize(
    ("low", "high", "share", "said"),
    [
        (0.8, 0.99, 0.5, "behind"),
        (0.9, 1.1, 0.95, "even"),
        (0.9, 1.1, 0.5, "not clearly ahead"),
        (1.1, 1.3, 0.5, "ahead"),
    ],
)
def test_a_peer_that_leaves_room_must_be_passed(low, high, share, said):
    assert statistics.beside(Estimate(1.0, low, high, 5), share) == said


def _records(ours=(110.0, 120.0)):
    run = {"what": "run", "date": "2026-01-01", "rounds": 2, "seconds": 1.0, "threads": 2, "cores": 2}
    yield run | {"cpu_flags": ["avx2"], "python": "3.11", "onnxruntime": "1"}
    for number, rate in enumerate(ours):
        at = {"round": number, "model": "resnet18_224", "clients": 8, "load_average": 1.0}
        yield {
            "what": "engine",
            **at,
            "rates": {"2×1": 100.0, "1×2": 90.0},
            "lone_ms": {"1×1": 5.0},
            "batched": {"2×1, batch 8": 150.0},
        }
        load = {"what": "load", **at, "form": BINARY, "p50_ms": 8.0, "p99_ms": 9.0, "count": 9}
        yield load | {"server": NAME, "rate": rate, "live_p99_ms": 2.0}
        yield load | {"server": "fastapi", "rate": rate / 2, "p99_ms": 27.0}
        yield load | {"server": "bentoml", "rate": rate / 4}
    yield {"what": "failed", "model": "resnet18_224", "server": "bentoml", "form": BINARY, "clients": 32, "reason": "a | b"}


def test_records_become_tables(tmp_path):
    text = report.markdown(list(_records()))
    ours, peer = (next(line for line in text.splitlines() if "| 8 |" in line and key in line) for key in ("batching", "ahead"))
    assert "| 115 | 8.00 | 9.00 | 1.15 (0.66 to 2.00) (above 1 by batching) | 0.77 " in ours
    assert ours.endswith("| ≥ 0.95 of it | open | 2.00 |")
    assert "| fastapi | 0.57 | 2.00 (2.00 to 2.00) | ahead | bentoml | 1.00 (1.00 to 1.00) | not clearly ahead |" in peer
    assert "| failed | bentoml | resnet18_224, binary, 32 connections | a / b |" in text
    assert "A trial of 2 round(s)" in text
    assert "(above 1, unexplained)" in report.markdown(list(_records((160.0, 170.0))))
    target = tmp_path / "SERVING.md"
    target.write_text(f"# Head\n\n{report.BEGIN}\n\nold\n\n{report.END}\n\ntail\n")
    for _ in range(2):
        report.write(text, target)
        assert target.read_text() == f"# Head\n\n{report.BEGIN}\n\n{text}\n\n{report.END}\n\ntail\n"


@pytest.mark.parametrize("form", [JSON, BINARY, PIXELS])
def test_requests_are_what_the_server_reads(form):
    item = models.MODELS["resnet18_32"].item(0)
    sent = request("resnet18_32", form, item)
    items = items_of(rest.read_request(sent.body, sent.headers.get("inference-header-content-length")), "image")
    if form == PIXELS:
        assert np.asarray(items).shape == (1, 32, 32, 3)
    else:
        assert list(items) == [item]


def test_an_answer_is_read():
    body = b'{"outputs": [{"name": "label", "data": ["a"]}, {"name": "probabilities", "data": [0.25, 0.75]}]}'
    assert wire.read_v2(body).tolist() == [0.25, 0.75]


def test_each_peers_request_has_a_cell():
    ours = {(cell.model, form) for cell in CELLS for form in cell.forms}
    assert {cell.model for cell in CELLS} == set(models.MODELS)
    for name, peer in peers.PEERS.items():
        assert set(peer.asked) <= ours, name
