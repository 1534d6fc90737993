"""Odd but readable items by every form of the protocol: answered as the bundle answers what they show."""

import io

import numpy as np
import pytest
from PIL import Image

from slipway.preprocess.text import MAX_CHARS
from tests.helpers.bundles import image, png
from tests.helpers.protocols import FORMS, tensor


def encoded(pixels, kind, **options):
    buffer = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


PIXELS = image(np.random.default_rng(5), 40, 3)
CMYK = Image.fromarray(PIXELS).convert("CMYK")
FRAMES = [Image.fromarray(image(np.random.default_rng(seed), 40, 3)) for seed in (6, 7)]
ODD = {
    "EXIF says turned": (encoded(PIXELS, "PNG", exif=turned(6)), png(np.rot90(PIXELS, -1))),
    "EXIF says mirrored": (encoded(PIXELS, "PNG", exif=turned(2)), png(PIXELS[:, ::-1])),
    "animated PNG": (encoded(Image.fromarray(PIXELS), "PNG", save_all=True, append_images=FRAMES), png(PIXELS)),
    "animated WebP": (
        encoded(Image.fromarray(PIXELS), "WEBP", save_all=True, append_images=FRAMES, lossless=True),
        png(PIXELS),
    ),
    "TIFF of three pages": (encoded(Image.fromarray(PIXELS), "TIFF", save_all=True, append_images=FRAMES), png(PIXELS)),
    "CMYK": (
        encoded(CMYK, "TIFF"),
        png(np.asarray(CMYK.convert("RGB"))),
    ),
    "16 bits": (encoded(PIXELS[:, :, 0].astype(np.uint16) * 257, "PNG"), png(PIXELS[:, :, :1])),
    "transparent": (encoded(np.dstack([PIXELS, np.full((40, 40), 9, np.uint8)]), "PNG"), png(PIXELS)),
}
"""Odd but readable files, and the plain file of the picture that they show."""


TEXTS = {"empty": "", "blank": " \n", "NUL": "\0", "other scripts": "👩‍👩‍👧 ẞ ﷽", "longest": "a" * MAX_CHARS}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_image_is_answered_as_the_picture_it_shows(served, loaded, name):
    odd, plain = ODD[name]
    expected = loaded["cv"].predict([plain])
    for form in FORMS:
        told = served.ask(form, "cv-tiny", [tensor("image", "BYTES", [1], [odd])])
        np.testing.assert_array_equal(told.outputs["probabilities"], expected)
    assert not np.array_equal(expected, loaded["cv"].predict([png(PIXELS[::-1])])), "the model must tell them apart"


@pytest.mark.parametrize("form", FORMS)
def test_a_gif_is_refused_with_what_is_allowed(served, form):
    told = served.ask(form, "cv-tiny", [tensor("image", "BYTES", [1], [encoded(PIXELS, "GIF") + b"\xff"])])
    assert (told.refused, "allowed: JPEG, PNG, BMP, WEBP, TIFF" in told.error) == (True, True), told


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TEXTS)
def test_an_odd_text_is_answered(served, loaded, form, name):
    text = TEXTS[name]
    told = served.ask(form, "nlp-tiny", [tensor("text", "BYTES", [1], [text])])
    np.testing.assert_array_equal(told.outputs["probabilities"], loaded["nlp"].predict([text]))
