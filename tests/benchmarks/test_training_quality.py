"""What the recipes reach on real data, and at what cost. Hours long: `make bench-training`, one row by PYTEST_ARGS='-k NAME'.

The table is all there is to change: each row is a command that a user can give. TRAINING.md keeps the numbers.
"""

import json
import os

import pytest
from PIL import Image

from slipway.data.datasets import open_dataset
from tests.benchmarks.quality import Row, report, series

ROWS = [
    Row(
        name="cifar10-fast",
        family="cv",
        preset="fast",
        dataset="cifar10",
        seeds=(0, 1, 2),
        bar="91.2 %, mean of 3 seeds, in at most 0.10 PFLOP and 12 minutes",
    ),
    Row(
        name="cifar10-accurate",
        family="cv",
        preset="fast",
        dataset="cifar10",
        sets={"width": "1", "epochs": "9"},
        seeds=(0, 1, 2),
        bar="94 %, mean of 3 seeds, in at most 0.30 PFLOP",
    ),
    Row(name="cifar10-custom", family="cv", preset="full", dataset="cifar10", bar="93 % by custom_cnn"),
    Row(
        name="cifar10-transfer",
        family="cv",
        preset="transfer",
        dataset="cifar10",
        sets={"pretrained": "$SLIPWAY_DATA/weights/mobilenet_v2_imagenet.safetensors"},
        bar="93 % within 75 minutes",
    ),
    Row(
        name="neu-folds",
        family="defect",
        preset="full",
        dataset="NEU-CLS",
        folds=5,
        bar="at most 7 errors of 1,440, 15 minutes a fold",
    ),
    Row(name="sst2-linear", family="nlp", preset="quick", dataset="sst2", bar="81.5 % of the 872 dev sentences"),
    Row(name="imdb-linear", family="nlp", preset="quick", dataset="imdb", bar="90 % of the 12,500 test reviews at hand"),
    Row(name="sst2-minilm", family="nlp", preset="minilm", dataset="sst2", bar="90 % of the 872 dev sentences"),
    Row(name="imdb-minilm", family="nlp", preset="minilm", dataset="imdb", bar="91 % of the 12,500 test reviews at hand"),
]


@pytest.mark.bench
@pytest.mark.quality
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_quality(row):
    print(report(row, series(row)))


@pytest.mark.slow
def test_a_series_goes_on_after_what_it_finished(tmp_path):
    sets = {"size": "120", "epochs": "1", "batch_size": "16"}
    row = Row(name="tiny", family="cv", preset="quick", dataset="shapes", sets=sets, seeds=(0, 1), bar="none")
    results = tmp_path / "results.jsonl"
    lines = series(row, results)
    changed, kept = {**lines[0], "errors": lines[0]["n"]}, lines[1]
    results.write_text(json.dumps(changed) + "\n")
    assert series(row, results)[0] == changed, "a finished line is taken as it is"
    assert [json.loads(text)["seed"] for text in results.read_text().splitlines()] == [0, 1]
    assert series(row, results)[1]["errors"] == kept["errors"], "and a lost one comes out the same"
    print(report(row, lines))


@pytest.mark.slow
def test_folds_test_every_image_once_and_never_part_equal_pixels(tmp_path, monkeypatch):
    folder = tmp_path / "real" / "STEEL"
    for i, item in enumerate(open_dataset("steel", family="defect", size=120).items):
        path = folder / item.label / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(item.content[..., 0]).save(path)
    twin = next(folder.glob("*/*.png"))
    os.link(twin, twin.with_name("twin.png"))
    monkeypatch.setenv("SLIPWAY_DATA", str(folder.parent))
    row = Row(
        name="tiny",
        family="defect",
        preset="quick",
        dataset="STEEL",
        sets={"epochs": "1", "image_px": "32"},
        folds=2,
        bar="none",
    )
    lines = series(row, tmp_path / "results.jsonl")
    assert sum(line["n"] for line in lines) == 121
    held = [{path.name for path in (tmp_path / "runs" / line["key"] / "fold" / "test").glob("*/*")} for line in lines]
    assert sum(map(len, held)) == len(set().union(*held)) == 121
    assert all((twin.name in names) == ("twin.png" in names) for names in held)
