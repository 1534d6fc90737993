"""A training that starts from a trained network: it goes on, loses channels, or keeps weights at zero."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from slipway import bundle as bundles
from slipway.data.dataset import Dataset
from slipway.errors import ConfigError
from slipway.export.onnx import export
from slipway.models.architectures import ARCHITECTURES
from slipway.models.restore import restore
from slipway.models.widths import count
from slipway.store import files
from slipway.store.uri import open_store
from slipway.training import loop, networks
from slipway.training.checkpoint import StoredState, run_key
from slipway.training.recipe import TrainConfig
from slipway.training.sparse import Zeros, sparsity
from slipway.training.train import train
from tests.helpers import checkpoints, datasets
from tests.helpers.training import WIDTHS, config

IMAGES = [name for name, entry in ARCHITECTURES.items() if entry.input == "image"]
LARGE = ("resnet18", "resnet50", "densenet121")
ALL = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in IMAGES]


def start_of(name, folder):
    """(data set, a checkpoint with random weights): enough to start from."""
    dataset = datasets.of_family(ARCHITECTURES[name].family, folder / "data")
    options = {"width": WIDTHS[name]} if name in WIDTHS else {}
    return dataset, checkpoints.write(dataset, folder / "start", members=((name, options),))


def meta_of(path):
    return json.loads((path / "model.json").read_text())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return start_of("defect_small", tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize("name", ALL)
def test_every_architecture_becomes_smaller_and_is_served_so(name, tmp_path):
    dataset, start = start_of(name, tmp_path)
    settings = config(name, tmp_path, start=str(start), prune_channels=0.5, epochs=1)
    checkpoint = train(dataset, settings, tmp_path / "out")
    model = restore(checkpoint).model
    whole, pruned = count(restore(start).model), count(model)
    meta = meta_of(checkpoint)
    assert meta["pruned"] == {"parameters_before": whole, "parameters": pruned, "sparsity": sparsity(model)}
    assert pruned < 0.35 * whole
    bundle = bundles.load(export(checkpoint, dataset, tmp_path / "bundle"), threads=1)  # parity is proven there
    assert bundle.meta["pruned"] == meta["pruned"]
    graph = onnx.load(bundle.path / "variants" / f"{bundles.BASE}.onnx").graph
    assert sum(int(np.prod(t.dims)) for t in graph.initializer) < 0.4 * whole
    raw = dataset.raw("test")[:3]
    encoded = restore(checkpoint).preprocess.encode(raw)
    np.testing.assert_array_equal(restore(bundle.path).logits(encoded), restore(checkpoint).logits(encoded))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
def test_zeros_stay_zero_whatever_moves_the_weights(optimizer, small, tmp_path):
    dataset, start = small
    changes = {"optimizer": optimizer, "weight_decay": 0.5, "ema": 0.9, "sparsity": 0.7}
    trained = restore(train(dataset, config("defect_small", tmp_path, start=str(start), **changes), tmp_path / "out"))
    total = sum(m.weight.numel() for m in trained.model.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    assert trained.meta["pruned"]["sparsity"] == sparsity(trained.model) == round(0.7 * total) / total
    before, after = restore(start).model.state_dict(), trained.model.state_dict()
    kept = {name: after[name] != 0 for name in after if after[name].ndim > 1}
    assert all((after[name] != before[name])[mask].all() for name, mask in kept.items())
    largest = max(before[name][~mask].abs().max() for name, mask in kept.items())
    assert all(before[name][mask].abs().min() >= largest for name, mask in kept.items())  # all layers together


def test_a_layer_keeps_a_weight_or_the_share_is_refused():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    with torch.no_grad():
        model[1].weight.mul_(1e-3)
    with pytest.raises(ConfigError, match=r"sparsity: 0\.5 leaves 1 without weights; lower it"):
        Zeros(model, 0.5)


def test_without_pruning_a_training_goes_on_from_the_weights(small, tmp_path):
    dataset, start = small
    out = train(dataset, config("defect_small", tmp_path, start=str(start), epochs=1, learning_rate=1e-9), tmp_path / "out")
    meta = meta_of(out)
    assert "pruned" not in meta
    assert meta["start"] == files.read_manifest(start).digest
    before, after = restore(start).model.state_dict(), restore(out).model.state_dict()
    for name, tensor in before.items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(after[name], tensor, rtol=0, atol=1e-6)


def test_a_text_encoder_goes_on_with_its_own_tokeniser(tmp_path):
    dataset = datasets.texts(tmp_path / "data")
    first = train(dataset, config("hf_encoder", tmp_path), tmp_path / "first")
    settings = config("hf_encoder", tmp_path, pretrained="", max_tokens=64, start=str(first), sparsity=0.5)
    second = train(dataset, settings, tmp_path / "second")
    assert meta_of(second)["preprocess"] == meta_of(first)["preprocess"]
    assert meta_of(second)["pruned"]["sparsity"] == pytest.approx(0.5, abs=0.01)
    assert files.read_manifest(export(second, dataset, tmp_path / "bundle"))


def test_a_bundle_that_was_pruned_can_be_pruned_again(small, tmp_path):
    dataset, start = small
    asked = {"epochs": 1, "prune_channels": 0.3}
    once = train(dataset, config("defect_small", tmp_path, start=str(start), **asked), tmp_path / "once")
    bundle = export(once, dataset, tmp_path / "bundle")
    twice = train(dataset, config("defect_small", tmp_path, start=str(bundle), **asked), tmp_path / "twice")
    sizes = [meta_of(path)["pruned"] for path in (once, twice)]
    assert sizes[1]["parameters"] < sizes[0]["parameters"] < sizes[0]["parameters_before"] == sizes[1]["parameters_before"]
    plain = train(dataset, config("defect_small", tmp_path, start=str(twice), epochs=1), tmp_path / "plain")
    assert meta_of(plain)["pruned"] == sizes[1]
    assert restore(plain).model.state_dict().keys() == restore(start).model.state_dict().keys()


def test_items_that_only_the_start_was_trained_on_count_as_seen(small, tmp_path):
    dataset, start = small
    other = np.array([1, 2**64 - 1], np.uint64)
    again = checkpoints.write(dataset, tmp_path / "start", members=(("defect_small", {"width": 0.5}),))
    np.save(again / "train_items.npy", np.sort(np.concatenate([other, np.load(start / "train_items.npy")])))
    files.write_manifest(again)
    out = train(dataset, config("defect_small", tmp_path, start=str(again), epochs=1), tmp_path / "out")
    np.testing.assert_array_equal(np.load(out / "train_items.npy"), np.load(again / "train_items.npy"))


class Killed(BaseException):
    """Nobody catches it."""


def test_a_killed_pruning_goes_on_in_mid_epoch_and_ends_with_the_same_bits(small, tmp_path, monkeypatch):
    dataset, start = small
    settings = config("defect_small", tmp_path, start=str(start), prune_channels=0.25, sparsity=0.5, ema=0.5, epochs=2)
    whole = train(dataset, settings, tmp_path / "whole")
    store = open_store(str(tmp_path / "store"))
    monkeypatch.setattr(loop, "KEEP_EVERY_S", 0.0)
    saves = []

    class Dying(StoredState):
        def save(self, state, parts):
            super().save(state, parts)
            saves.append((state.epoch, state.step))
            if state.epoch == 1 and state.step == 2:
                raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(networks, "StoredState", Dying)
        with pytest.raises(Killed):
            train(dataset, settings, tmp_path / "out", store=store)
    assert saves[-1] == (1, 2)
    resumed = []
    out = train(Dataset.load(dataset.path), settings, tmp_path / "out", store=store, on_epoch=resumed.append)
    assert [record.epoch for record in resumed] == [2]
    assert files.read_manifest(out).digest == files.read_manifest(whole).digest


def test_another_start_at_the_same_place_is_another_run(tmp_path):
    settings = config("defect_small", tmp_path, start="there")
    assert len({run_key(settings, "data", start) for start in ("", "one", "other")}) == 3


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("defect_base", {}, r"has another architecture: defect_small, not defect_base"),
        ("defect_small", {"width": 1.5}, r"width: start .* has 0\.5, got 1\.5; set width=0\.5"),
        ("defect_small", {"start": "nowhere"}, "start: .*nowhere: no such directory"),
        ("defect_small", {"start": "s3://store/model"}, "start: s3://store/model is in a store, and there is no folder"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(name, change, message, small, tmp_path):
    dataset, start = small
    with pytest.raises(ConfigError, match=message) as caught:
        train(dataset, config(name, tmp_path, **{"start": str(start), **change}), tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_other_data_are_refused(small, tmp_path):
    _, start = small
    settings = config("defect_small", tmp_path, start=str(start))
    larger = datasets.images(tmp_path / "larger", family="defect", px=48)
    with pytest.raises(ConfigError, match=r"has another input size: \(32, 32, 1\), not \(48, 48, 1\)"):
        train(larger, settings, tmp_path / "out")
    dataset, _ = small
    meta = meta_of(start)
    relabelled = checkpoints.write(dataset, tmp_path / "start", members=(("defect_small", {"width": 0.5}),))
    files.write_json(relabelled / "model.json", {**meta, "labels": ["light", "dark"]}, sort_keys=False)
    files.write_manifest(relabelled)
    with pytest.raises(ConfigError, match=r"has other classes: \['light', 'dark'\], not \['dark', 'light'\]"):
        train(dataset, replace(settings, start=str(relabelled)), tmp_path / "out")


def test_an_ensemble_is_no_start(tmp_path):
    dataset = datasets.images(tmp_path / "data")
    ensemble = checkpoints.write(dataset, tmp_path / "start")
    with pytest.raises(ConfigError, match="is an ensemble; start from a single network"):
        train(dataset, config("lenet5", tmp_path, start=str(ensemble)), tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "cv", "prune_channels": 0.5}, "prune_channels: random weights do not tell .*; set start"),
        ({"family": "cv", "sparsity": 0.5}, "sparsity: random weights do not tell .*; set start"),
        ({"family": "cv", "prune_channels": 0.95, "start": "x"}, "prune_channels: must be 0 to 0.9, got 0.95"),
        ({"family": "cv", "sparsity": 1.0, "start": "x"}, "sparsity: must be 0 to 0.99"),
        ({"family": "cv", "start": "x", "ensemble": "lenet5"}, "start: .* so ensemble has no use"),
        ({"family": "cv", "start": "x", "pretrained": "imagenet"}, "start: .* so pretrained has no use"),
        ({"family": "nlp", "architecture": "hf_encoder", "start": "x", "prune_channels": 0.5}, "only of convolutions"),
        ({"family": "nlp", "start": "x"}, "start: tfidf_logreg has no use for it"),
        ({"family": "nlp", "sparsity": 0.5}, "sparsity: tfidf_logreg has no use for it"),
    ],
)
def test_impossible_combinations_are_refused_before_data_are_read(change, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**change)
