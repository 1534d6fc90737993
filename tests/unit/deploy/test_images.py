from dataclasses import replace

import pytest

from slipway import settings as settings_
from slipway.deploy import images
from slipway.errors import ConfigError

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "image"),
    [
        (f"images: {{train: {{tag: 0.1.0, digest: '{DIGEST}'}}}}", f"slipway-train@{DIGEST}"),
        ("images: {train: {tag: 0.1.0, digest: ''}}", "slipway-train:0.1.0"),
        ("global: {imageRegistry: r.example/a/}\nimages: {train: {repository: t, tag: 1.2.3}}", "r.example/a/t:1.2.3"),
    ],
)
def test_an_image_is_taken_from_the_charts_list(tmp_path, text, image):
    path = tmp_path / "images.lock.yaml"
    path.write_text(text)
    settings = replace(settings_.load(), train_image="", images=path)
    assert images.train(settings) == image
    assert images.train(replace(settings, train_image="mine:1.0.0")) == "mine:1.0.0", "a variable is nearer"


def test_without_either_there_is_none():
    assert images.train(replace(settings_.load(), train_image="", images=None)) == ""


@pytest.mark.parametrize("text", ["images: {serve: {tag: 1.0.0}}", "[]", "{", None])
def test_a_list_that_does_not_name_it_is_one_line(tmp_path, text):
    path = tmp_path / "images.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(
        ConfigError, match=r"SLIPWAY_IMAGES .*images\.yaml: (cannot be read|not YAML|does not have images.train)"
    ) as caught:
        images.listed(path, "train")
    assert "\n" not in str(caught.value)
