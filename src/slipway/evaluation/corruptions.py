"""Disturbances of raw items: what a bad camera, a hasty typist or a stingy uploader makes of them.

The same seed and item give the same disturbance, and a stronger one hits the same places: noise is scaled, words are added
to those that were hit before. What depends on the size of an image is stated relative to it or to the model's input, so
that a strength means the same for 32 px and for 4,000 px.
"""

# H/W px, C channels, W words

import io
import re
import unicodedata
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, radians, sin
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from slipway.preprocess import Preprocess
from slipway.preprocess.image import ImagePreprocess, decode
from slipway.preprocess.text import as_text

WORKING_SIDES = 4
"""Images are disturbed at no more than so many times the model's shorter side: larger ones are shrunk first, as a client
that saves bandwidth does. A model of 64 px sees no difference, and at 12 megapixels a disturbance takes up to 1.3 s."""
JPEG_PX = 65_500
"""Longest side that a JPEG can have."""
GAMMA = 2.2
"""Of sRGB, about: how pixel values follow light."""
GRAIN_LEFT = 19 / 32
"""Standard deviation that the model's antialiased resizing leaves of noise whose grain is one of its pixels: on each axis
three grains are weighed 1/8, 3/4, 1/8."""
LEVELS = np.arange(256.0)
SHORTEST_WORD = 3
"""Letters of a word that can have a typo and still be known."""

Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image, L or RGB, of at most WORKING_SIDES times the model's size."""

    image: Image.Image
    model_px: int
    """Shorter side of the model's input."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Corruption:
    """A line of the table."""

    kind: str
    """`image` or `text`: of the items it disturbs."""
    severities: tuple[float, ...]
    """Mild to strong."""
    unit: str
    disturb: Callable[[Any, float, Random], Image.Image | bytes]
    """(item as `opened`, severity, random numbers) -> image or encoded item."""
    none: float | None = 0.0
    """The severity that changes nothing; None where there is none."""
    description: str


def opened(raw: bytes, preprocess: Preprocess) -> Picture | str:
    """A raw item as the disturbances take it; done once for all of them.

    Args:
        preprocess: the model's; its size and colours decide at which an image is disturbed.
    Raises: DataError: it cannot be read.
    """
    if not isinstance(preprocess, ImagePreprocess):
        return as_text(raw)
    image, model_px = decode(raw), min(preprocess.height_px, preprocess.width_px)
    image = image.convert("L" if preprocess.channels == 1 or image.mode in ("L", "LA", "1") else "RGB")
    shrink = min(WORKING_SIDES * model_px / min(image.size), JPEG_PX / max(image.size))
    if shrink < 1:
        size = (ceil(image.width * shrink), ceil(image.height * shrink))
        image = image.resize(size, Image.Resampling.BILINEAR)
    return Picture(image, model_px)


def disturbed(name: str, severity: float, item: Picture | str, seed: int) -> bytes:
    """The item as a client would send it after a disturbance: an image without further loss, and where JPEG is the
    disturbance as JPEG.

    Args:
        name: of CORRUPTIONS.
        seed: of the item, such as the first 8 bytes of its content's hash.
    """
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    result = CORRUPTIONS[name].disturb(item, severity, random)
    return result if isinstance(result, bytes) else _encoded(result, "BMP")  # in a thirtieth of PNG's time


def _noise(picture: Picture, sigma: float, random: Random) -> Image.Image:
    pixels = np.asarray(picture.image)
    height, width = pixels.shape[:2]
    scale = min(1.0, picture.model_px / min(height, width))  # finer grain would be averaged away on its way to the model
    if scale < 1:
        sigma /= GRAIN_LEFT
    rows = (np.arange(height) * scale).astype(np.int64)
    columns = (np.arange(width) * scale).astype(np.int64)
    grain = random.standard_normal((rows[-1] + 1, columns[-1] + 1, *pixels.shape[2:]), np.float32)
    noisy = np.rint(sigma * grain).astype(np.int16)[rows][:, columns]
    noisy += pixels
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _blur(picture: Picture, sigma: float, _: Random) -> Image.Image:
    return picture.image.filter(ImageFilter.GaussianBlur(sigma / 100 * min(picture.image.size)))


def _brighter(picture: Picture, stops: float, _: Random) -> Image.Image:
    return _mapped(picture.image, LEVELS * 2 ** (stops / GAMMA))


def _darker(picture: Picture, stops: float, random: Random) -> Image.Image:
    return _brighter(picture, -stops, random)


def _contrast(picture: Picture, lost: float, _: Random) -> Image.Image:
    mean = np.asarray(picture.image).mean()
    return _mapped(picture.image, mean + (LEVELS - mean) * (1 - lost / 100))


def _mapped(image: Image.Image, levels: NDArray[np.float64]) -> Image.Image:
    """The image with level i of every channel replaced by `levels[i]`, rounded and clipped."""
    return image.point(np.clip(np.rint(levels), 0, 255).astype(np.int64).tolist() * len(image.getbands()))


def _jpeg(picture: Picture, quality: float, _: Random) -> bytes:
    return _encoded(picture.image, "JPEG", quality=int(quality))


def _encoded(image: Image.Image, form: str, **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def _rotation(picture: Picture, degrees: float, random: Random) -> Image.Image:
    """Turned either way; what comes in at the edges is mirrored, as black corners would be a disturbance of their own."""
    image, angle = picture.image, degrees if random.random() < 0.5 else -degrees
    # strips of more than 15:1 keep black ends: mirrored as far as they turn, they would fill the memory
    margin = 1 + min(ceil(sin(radians(degrees)) * max(image.size) / 2), 2 * min(image.size))
    pixels = np.asarray(image)
    wide = np.pad(pixels, [(margin, margin), (margin, margin), (0, 0)][: pixels.ndim], mode="symmetric")
    turned = Image.fromarray(wide).rotate(angle, Image.Resampling.BICUBIC)
    return turned.crop((margin, margin, margin + image.width, margin + image.height))


_WORD, _GAP, _MARK = re.compile(r"\w+"), re.compile(r"(?<=\S)\s+(?=\S)"), re.compile(r"[^\w\s]|_")
_LETTER_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {
    key: "".join(_LETTER_ROWS[r][max(0, at) : at + 2] for r, at in ((row - 1, i), (row + 1, i - 1)) if 0 <= r <= 2)
    + letters[max(0, i - 1) : i]
    + letters[i + 1 : i + 2]
    for row, letters in enumerate(_LETTER_ROWS)
    for i, key in enumerate(letters)
}
"""Letter -> those beside it on an English keyboard."""


def _some(pattern: re.Pattern[str], text: str, share: float, random: Random, change: Callable[[str, Any], str]) -> bytes:
    """The text with `share` % of what the pattern finds changed; as it was where nothing would be left.

    `change` gets the piece and three random numbers in [0, 1).
    """
    pieces = list(pattern.finditer(text))
    draws = random.random((len(pieces), 4))
    parts, end = [], 0
    for piece, (chance, *rest) in zip(pieces, draws.tolist(), strict=True):
        changed = change(piece.group(), rest) if 100 * chance < share else piece.group()
        parts += [text[end : piece.start()], changed]
        end = piece.end()
    result = "".join([*parts, text[end:]])
    return (result if result.strip() else text).encode()


def _typos(text: str, share: float, random: Random) -> bytes:
    return _some(_WORD, text, share, random, _typo)


def _typo(word: str, draws: tuple[float, float, float]) -> str:
    """One slip of the fingers behind the first letter: two swapped, one left out, one doubled, or the key beside it."""
    if len(word) < SHORTEST_WORD:
        return word
    kind, at = int(draws[0] * 4), 1 + int(draws[1] * (len(word) - 2))
    before, letter, following, after = word[:at], word[at], word[at + 1], word[at + 2 :]
    if kind == 0 and letter != following:
        return before + following + letter + after
    if kind == 1 and letter.lower() in _NEIGHBOURS:
        near = _NEIGHBOURS[letter.lower()]
        near = near[int(draws[2] * len(near))]
        return before + (near.upper() if letter.isupper() else near) + following + after
    return before + (letter * 2 if kind == 2 else "") + following + after


def _lower(text: str, share: float, random: Random) -> bytes:
    return _some(_WORD, text, share, random, lambda word, _: word.lower())


def _upper(text: str, share: float, random: Random) -> bytes:
    return _some(_WORD, text, share, random, lambda word, _: word.upper())


def _title(text: str, share: float, random: Random) -> bytes:
    return _some(_WORD, text, share, random, lambda word, _: word[:1].upper() + word[1:])


def _no_punctuation(text: str, share: float, random: Random) -> bytes:
    return _some(_MARK, text, share, random, lambda mark, _: "" if unicodedata.category(mark).startswith("P") else mark)


def _joined(text: str, share: float, random: Random) -> bytes:
    return _some(_GAP, text, share, random, lambda *_: "")


_WORDS = "% of the words"
CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        "noise": Corruption(
            kind="image",
            severities=(2, 4, 8, 16),
            unit="gray levels of 255",
            disturb=_noise,
            description="Gaussian noise of this standard deviation in the model's input, a grain a pixel",
        ),
        "blur": Corruption(
            kind="image",
            severities=(0.5, 1, 2, 3),
            unit="% of the shorter side",
            disturb=_blur,
            description="Gaussian blur of this standard deviation",
        ),
        "brighter": Corruption(
            kind="image", severities=(0.5, 1, 1.5, 2), unit="stops", disturb=_brighter, description="exposed longer"
        ),
        "darker": Corruption(
            kind="image", severities=(0.5, 1, 1.5, 2), unit="stops", disturb=_darker, description="exposed shorter"
        ),
        "contrast": Corruption(
            kind="image",
            severities=(20, 40, 60, 75),
            unit="% lost",
            disturb=_contrast,
            description="every pixel drawn towards the image's mean",
        ),
        "jpeg": Corruption(
            kind="image",
            severities=(80, 50, 25, 12),
            unit="quality",
            disturb=_jpeg,
            none=None,
            description="sent as JPEG of this quality",
        ),
        "rotation": Corruption(
            kind="image",
            severities=(3, 6, 10, 15),
            unit="degrees",
            disturb=_rotation,
            description="turned to the left or right, mirrored at the edges",
        ),
        "typos": Corruption(
            kind="text",
            severities=(10, 25, 50, 100),
            unit=_WORDS,
            disturb=_typos,
            description="a letter swapped with the next, left out, doubled or replaced by a neighbouring key",
        ),
        "lower case": Corruption(
            kind="text", severities=(25, 50, 100), unit=_WORDS, disturb=_lower, description="all letters small"
        ),
        "upper case": Corruption(
            kind="text", severities=(25, 50, 100), unit=_WORDS, disturb=_upper, description="all letters CAPITAL"
        ),
        "first letters": Corruption(
            kind="text", severities=(25, 50, 100), unit=_WORDS, disturb=_title, description="The First Letter Capital"
        ),
        "no punctuation": Corruption(
            kind="text",
            severities=(25, 50, 100),
            unit="% of the marks",
            disturb=_no_punctuation,
            description="marks left out",
        ),
        "joined words": Corruption(
            kind="text", severities=(10, 20, 40), unit="% of the gaps", disturb=_joined, description="no blank between words"
        ),
    }
)
"""A new disturbance is a function and a line here. Blanks too many are none: every tokeniser of ours splits at them."""
