"""`slipway bench`: any bundle is measured, in a process of its own; what cannot be is one line."""

import json

import pytest

from slipway.errors import BundleError
from slipway.evaluation.bench import LEAST_CALLS, bench
from tests.helpers.bundles import FAMILIES, make_bundle, make_items
from tests.helpers.command import within


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bundle_of_any_family_is_measured(family, capsys, tmp_path):
    model = make_bundle(family, tmp_path / "bundle")
    code, out, err = within(capsys, "bench", model, "--batch", "1,3", "--threads", "1", "--seconds", "0.01", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["variant"] == "onnxruntime-fp32"
    assert found["size_mb"] == (model / "variants" / "onnxruntime-fp32.onnx").stat().st_size / 1e6
    (process,) = found["processes"]
    assert process["load_s"] > 0
    assert 0 < process["memory_mb"] < 500
    assert [(t["threads"], t["batch"]) for t in process["timings"]] == [(1, 1), (1, 3)]
    for timing in process["timings"]:
        assert timing["calls"] >= LEAST_CALLS
        assert 0 < timing["engine_ms"] <= timing["median_ms"] <= timing["p95_ms"] <= timing["p99_ms"]
        assert timing["items_per_s"] > 0


def test_given_items_are_sent(capsys, tmp_path):
    model = make_bundle("cv", tmp_path / "bundle")
    (tmp_path / "items").mkdir()
    for i, item in enumerate(make_items("cv", 3)):
        (tmp_path / "items" / f"{i}.png").write_bytes(item)
    options = ("--batch", "2", "--threads", "1", "--seconds", "0.01")
    code, out, err = within(capsys, "bench", model, tmp_path / "items", *options)
    assert code == 0, err
    assert "items/s" in out
    (tmp_path / "items" / "3.png").write_bytes(b"no image")
    code, _, err = within(capsys, "bench", model, tmp_path / "items", *options)
    assert (code, f"error: {tmp_path / 'items' / '3.png'}: " in err) == (2, True), err


def test_larger_batches_take_more_memory(tmp_path):
    model = make_bundle("defect", tmp_path / "bundle")
    taken = [next(bench(model, batches=[size], seconds=0.01)).memory_mb for size in (1, 1024)]
    assert taken[1] > taken[0] + 1, "64 images, which the engine takes at once, are 1 MB of floats"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--batch", "0"), "batch: must be whole numbers >= 1, got 0"),
        (("--batch", "1;2"), "--batch: must be whole numbers with commas between, got '1;2'"),
        (("--threads", "-1"), "threads: must be whole numbers >= 1, got -1"),
        (("--seconds", "0"), "seconds: must be above 0, got 0"),
        (("--variant", "onnxruntime-int8"), "variant: unknown 'onnxruntime-int8'"),
    ],
)
def test_what_cannot_be_measured_is_one_line(options, reason, capsys, tmp_path):
    code, out, err = within(capsys, "bench", make_bundle("cv", tmp_path / "bundle"), *options)
    assert (code, out) == (2, "")
    assert reason in err.splitlines()[-1]


def test_a_damaged_bundle_is_told_by_the_other_process(tmp_path):
    model = make_bundle("cv", tmp_path / "bundle")
    (model / "variants" / "onnxruntime-fp32.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match="onnxruntime-fp32"):
        list(bench(model, seconds=0.01))
