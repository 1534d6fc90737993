import numpy as np
import pytest

from slipway.export.calibrate import fit_temperature, softmax
from slipway.export.reference import TEXTS, selftest_items
from slipway.preprocess.image import ImagePreprocess


def test_the_temperature_that_spoilt_the_logits_is_found():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3))
    labels = np.array([rng.choice(3, p=p) for p in softmax(logits)])
    found = fit_temperature(logits * 4, labels)
    assert found.kept
    assert found.temperature == pytest.approx(4, rel=0.05)
    assert found.log_loss_after < found.log_loss_before


def test_a_temperature_that_does_not_help_is_not_kept():
    found = fit_temperature(np.zeros((10, 2)), np.arange(10) % 2)
    assert not found.kept
    assert found.temperature == 1.0


def test_extreme_logits_stay_numbers():
    assert np.isfinite(softmax(np.array([[1e4, -1e4], [0.0, 0.0]]))).all()


def test_selftest_items_are_the_same_every_time_and_can_be_read():
    size = {"height_px": 48, "width_px": 32, "channels": 3}
    first, second = (selftest_items({"input": size}) for _ in range(2))
    assert first == second
    images = ImagePreprocess(**size).encode(first)["image"]
    assert images.shape == (len(first), 48, 32, 3)
    assert len({image.tobytes() for image in images}) >= len(first) - 1
    assert len(selftest_items({"input": {}})) == len(TEXTS)
