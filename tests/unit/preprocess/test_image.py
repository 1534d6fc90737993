import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from slipway.errors import BundleError, ConfigError, DataError
from slipway.preprocess import restore
from slipway.preprocess.image import FORMATS, ImagePreprocess, decode

RGB = ImagePreprocess(height_px=16, width_px=16)
GRAY = ImagePreprocess(height_px=16, width_px=16, channels=1)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(width=16, height=16):
    """Red left, blue right, brighter downwards: every turn and flip looks different."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 200
    pixels[:, width // 2 :, 2] = 200
    pixels[:, :, 1] = np.linspace(0, 250, height, dtype=np.uint8)[:, None]
    return pixels


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_picture(kind):
    pixels = picture()
    found = RGB(
        encoded(Image.fromarray(pixels), kind, **{"WEBP": {"lossless": True}, "JPEG": {"subsampling": 0}}.get(kind, {}))
    )
    assert found.shape == (16, 16, 3)
    assert found.dtype == np.uint8
    difference = np.abs(found.astype(int) - pixels)
    assert difference.mean() <= (6 if kind == "JPEG" else 0)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a)),
    ],
)
def test_picture_is_turned_as_exif_says(orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = RGB(encoded(Image.fromarray(picture()), "PNG", exif=exif))
    np.testing.assert_array_equal(found, turn(picture()))


def test_sixteen_bits_are_scaled_by_their_range_however_dark_the_picture_is():
    ramp = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    np.testing.assert_array_equal(GRAY(encoded(Image.fromarray(ramp)))[:, :, 0], ((ramp.astype(int) + 128) // 257))
    dark = np.full((16, 16), 200, np.uint16)  # 0.3 % of the range, though below 256
    assert GRAY(encoded(Image.fromarray(dark))).max() == 1


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floating_point_tiff_is_scaled_by_the_range_it_uses(top):
    values = (np.linspace(0, 1, 256, dtype=np.float32) * top).reshape(16, 16)
    found = GRAY(encoded(Image.fromarray(values), "TIFF"))[:, :, 0]
    np.testing.assert_allclose(found, np.arange(256).reshape(16, 16), atol=1)


def test_floating_point_tiff_with_nan_and_infinity_is_read():
    values = np.full((16, 16), 0.5, np.float32)
    values[0, :3] = [np.nan, np.inf, -np.inf]
    found = GRAY(encoded(Image.fromarray(values), "TIFF"))
    assert found[0, :3, 0].tolist() == [0, 0, 0]
    assert found[1, 0, 0] == 128


def test_cmyk_becomes_the_colour_it_shows():
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    red = RGB(encoded(cmyk, "TIFF"))
    assert red.reshape(-1, 3).min(axis=0).tolist() == [255, 0, 0]
    assert RGB(encoded(cmyk, "JPEG")).reshape(-1, 3).mean(axis=0) == pytest.approx([255, 0, 0], abs=3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "L"])
def test_every_colour_mode_is_read_and_transparency_is_dropped(mode):
    image = Image.fromarray(picture()).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(3)
    found = RGB(encoded(image))
    np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_first_frame_of_an_animation_is_taken(kind):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    found = RGB(
        encoded(frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {}))
    )
    assert found[0, 0].tolist() == [255, 0, 0]


def header_only_png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(10_000, 5_000), (10_000, 10_000), (60_000, 60_000)])
@pytest.mark.parametrize("warn", ["error", "ignore"])
def test_bomb_is_refused_from_its_header(width, height, warn):
    with warnings.catch_warnings():
        warnings.simplefilter(warn)
        with pytest.raises(DataError, match="40 megapixels"):
            decode(header_only_png(width, height))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_truncated_file_is_refused(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = encoded(noise, kind)
    with pytest.raises(DataError, match=r"damaged image|not an image"):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"GIF89a" + b"\0" * 40, b"%PDF-1.7", b"<svg/>"], ids=["empty", "text", "gif", "pdf", "svg"]
)
def test_other_bytes_are_refused_with_the_formats_allowed(data):
    with pytest.raises(DataError, match=r"not an image .* allowed: JPEG, PNG, BMP, WEBP, TIFF"):
        decode(data)


def test_decoding_in_threads_leaves_the_warning_filters_alone():
    data = encoded(Image.fromarray(picture()))
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decode(data) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


def test_crop_keeps_the_middle_and_stretch_keeps_everything():
    wide = np.zeros((16, 48, 3), np.uint8)
    wide[:, :16], wide[:, 16:32], wide[:, 32:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    cropped = RGB(encoded(Image.fromarray(wide)))
    assert cropped.reshape(-1, 3).mean(axis=0).tolist() == [0, 255, 0]
    stretched = ImagePreprocess(height_px=16, width_px=16, fit="stretch")(encoded(Image.fromarray(wide)))
    assert stretched[8, 0].argmax() == 0
    assert stretched[8, 15].argmax() == 2


@pytest.mark.parametrize("preprocess", [RGB, GRAY], ids=["rgb", "gray"])
@pytest.mark.parametrize("px", [16, 23])
def test_pixels_and_their_lossless_file_give_the_same_input(preprocess, px):
    pixels = picture(px, px)
    from_file = preprocess(encoded(Image.fromarray(pixels)))
    np.testing.assert_array_equal(preprocess(pixels), from_file)
    np.testing.assert_array_equal(preprocess.encode(np.stack([pixels] * 2))["image"][1], from_file)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8)])
def test_pixels_of_another_shape_or_type_are_refused(pixels):
    with pytest.raises(DataError, match=r"pixels must be uint8 \[H, W, 1 or 3\]"):
        RGB(pixels)


def test_item_is_named_by_position():
    with pytest.raises(DataError, match=r"^item 1: not an image"):
        RGB.encode([encoded(Image.fromarray(picture())), b"x"])


@pytest.mark.parametrize("preprocess", [RGB, GRAY, ImagePreprocess(height_px=8, width_px=32, fit="stretch")])
def test_state_comes_back_as_it_was(preprocess, tmp_path):
    assert restore(preprocess.save(tmp_path), tmp_path) == preprocess


def test_state_of_a_newer_version_is_refused(tmp_path):
    with pytest.raises(BundleError, match="image preprocessing version 2"):
        restore(RGB.save(tmp_path) | {"version": 2}, tmp_path)


@pytest.mark.parametrize("wrong", [{"height_px": 4}, {"width_px": 2000}, {"channels": 2}, {"fit": "pad"}])
def test_impossible_settings_are_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ImagePreprocess(**({"height_px": 16, "width_px": 16} | wrong))
