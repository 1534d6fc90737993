import pytest

from slipway.errors import ConfigError
from slipway.models import architectures, families
from slipway.models.architectures import ARCHITECTURES, build
from slipway.preprocess import KINDS

IMAGES = [name for name, entry in ARCHITECTURES.items() if entry.input == "image"]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_belongs_to_a_family_and_reads_a_kind_of_input(name):
    entry = ARCHITECTURES[name]
    assert entry.family in families.FAMILIES
    assert entry.input in KINDS


@pytest.mark.parametrize("family", families.FAMILIES)
def test_every_family_starts_with_an_architecture_of_its_own(family):
    assert architectures.find(families.find(family).architecture, family=family)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize(("image_px", "channels"), [(32, 3), (80, 1)])
def test_networks_answer_raw_pixels_with_a_logit_per_class(name, image_px, channels):
    import torch

    model = build(name, num_classes=5, image_px=image_px, channels=channels).eval()
    with torch.inference_mode():
        logits = model(torch.randint(0, 256, (2, image_px, image_px, channels), dtype=torch.uint8))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()


@pytest.mark.parametrize(("name", "channels", "millions"), [("custom_cnn", 3, 9.8), ("defect_small", 1, 0.3)])
def test_networks_have_the_size_they_are_said_to_have(name, channels, millions):
    model = build(name, num_classes=10, image_px=32, channels=channels)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


def test_normalisation_of_a_channel_without_contrast_does_not_divide_by_zero():
    import torch

    model = build("defect_small", num_classes=2, image_px=32, channels=1).eval()
    model.set_normalisation(torch.tensor([0.5]), torch.tensor([0.0]))
    assert model(torch.full((1, 32, 32, 1), 128, dtype=torch.uint8)).isfinite().all()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("custom_cn", {}, "unknown 'custom_cn'; did you mean 'custom_cnn'"),
        ("custom_cnn", {"widht": 2.0}, "did you mean 'width'"),
        ("custom_cnn", {"width": 0.0}, "width: must be above 0"),
        ("resnet18", {"width": 0.5}, "option: unknown 'width'. Known: none"),
        ("custom_cnn", {"image_px": 16}, "at least 32 px, got 16"),
        ("custom_cnn", {"num_classes": 1}, "at least 2 classes"),
    ],
)
def test_wrong_requests_are_refused_by_name(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(name, **{"num_classes": 3, "image_px": 32, "channels": 3, **arguments})


def test_an_architecture_of_another_family_is_refused_and_its_family_named():
    with pytest.raises(ConfigError, match=r"family defect: unknown 'resnet18'.*it is of family cv"):
        architectures.find("resnet18", family="defect")
