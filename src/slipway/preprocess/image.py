"""Encoded images, or pixels, to uint8 arrays of the model's size."""

# N items, H/W px, C channels

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from slipway.errors import BundleError, ConfigError, DataError
from slipway.preprocess import Raw

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
MAX_MEGAPIXELS = 40
"""Larger images are refused from their header, before any pixel is decoded: one of 40 already takes 120 MB."""
VERSION = 1
"""Of the algorithm below: decode, EXIF turn, colour mode, crop to the aspect, Pillow bilinear with antialias."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImagePreprocess:
    """Decode, turn by EXIF, set the colour mode, crop to the centre and resize: uint8 [H, W, C]."""

    kind: ClassVar[str] = "image"
    input_name: ClassVar[str] = "image"

    height_px: int
    """Of the model input, 8 to 1024."""
    width_px: int
    """Of the model input, 8 to 1024."""
    channels: int = 3
    """3 for RGB, 1 for grayscale."""
    fit: str = "crop"
    """`crop` keeps the aspect and cuts what sticks out; `stretch` keeps every pixel and bends the aspect."""

    def __post_init__(self) -> None:
        for name in ("height_px", "width_px"):
            if not 8 <= getattr(self, name) <= 1024:
                raise ConfigError(f"image {name}: must be 8 to 1024, got {getattr(self, name)}")
        if self.channels not in (1, 3):
            raise ConfigError(f"image channels: must be 1 or 3, got {self.channels}")
        if self.fit not in ("crop", "stretch"):
            raise ConfigError(f"image fit: must be 'crop' or 'stretch', got '{self.fit}'")

    def __call__(self, raw: Raw) -> NDArray[np.uint8]:
        """One item -> uint8 [H, W, C].

        Raises: DataError: no image of a supported format, truncated, too large, or an array of another shape or type.
        """
        if isinstance(raw, np.ndarray):
            fits = raw.shape == self.shape and raw.dtype == np.uint8
            return raw if fits else self._fit(_from_pixels(raw))
        if isinstance(raw, str):
            raise DataError("expected an encoded image or pixels, got text")
        return self._fit(decode(raw))

    def encode(self, items: Sequence[Raw]) -> dict[str, NDArray[Any]]:
        """`image`: uint8 [N, H, W, C]. See `Preprocess.encode`."""
        if isinstance(items, np.ndarray) and items.dtype == np.uint8 and items.shape[1:] == self.shape:
            return {"image": items}
        out = np.empty((len(items), *self.shape), np.uint8)
        for i, raw in enumerate(items):
            try:
                out[i] = self(raw)
            except DataError as exc:
                raise DataError(f"item {i}: {exc}") from exc
        return {"image": out}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of one model input."""
        return self.height_px, self.width_px, self.channels

    def save(self, directory: Path) -> dict[str, Any]:  # noqa: ARG002  of the protocol
        """See `Preprocess.save`; no files."""
        return {"kind": self.kind, "version": VERSION, **asdict(self)}

    @classmethod
    def restore(cls, state: Mapping[str, Any], directory: Path) -> "ImagePreprocess":
        """See `slipway.preprocess.restore`."""
        if state.get("version") != VERSION:
            raise BundleError(f"{directory}: image preprocessing version {state.get('version')}, this code knows {VERSION}")
        return cls(**{k: v for k, v in state.items() if k not in ("kind", "version")})

    def _fit(self, image: Image.Image) -> NDArray[np.uint8]:
        mode = "RGB" if self.channels == 3 else "L"
        size = (self.width_px, self.height_px)
        if image.mode != mode:
            image = image.convert(mode)
        if image.size != size:
            if self.fit == "crop":
                image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
            else:
                image = image.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(image).reshape(self.shape)


def decode(raw: bytes) -> Image.Image:
    """Encoded bytes -> 8-bit image, turned by its EXIF orientation; the first frame of an animation.

    Raises: DataError: not an image of FORMATS, truncated, or above MAX_MEGAPIXELS.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(raw), formats=FORMATS)
        if image.width * image.height > MAX_MEGAPIXELS * 1_000_000:
            raise DataError(
                f"{image.width}x{image.height} px is above the limit of {MAX_MEGAPIXELS} megapixels; send a smaller image"
            )
        image.load()
        image = ImageOps.exif_transpose(image)
    except UnidentifiedImageError as exc:
        raise DataError(f"not an image ({len(raw)} bytes); allowed: {', '.join(FORMATS)}") from exc
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:  # the warning: only where it is an error
        raise DataError(f"above the limit of {MAX_MEGAPIXELS} megapixels; send a smaller image") from exc
    except DataError:
        raise
    except Exception as exc:  # whatever Pillow's parsers and the libraries below them raise on bad bytes
        raise DataError(f"damaged image ({type(exc).__name__}: {' '.join(str(exc).split())})") from exc
    return _to_8_bit(image) if image.mode.startswith("I") or image.mode == "F" else image


def size_px(raw: bytes | NDArray[np.uint8]) -> tuple[int, int]:
    """Height and width of an image that `decode` reads, or of pixels; of a file from its header, before its EXIF turn."""
    if isinstance(raw, np.ndarray):
        return raw.shape[0], raw.shape[1]
    with Image.open(io.BytesIO(raw), formats=FORMATS) as image:
        return image.height, image.width


def brightness(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean pixel [N] of model inputs, 0 to 255."""
    return np.array([image.mean() for image in images_NHWC])


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Scale deep grayscale, which `convert` would clip: 16 bits by their range, 32 by the range the values suggest."""
    deep = np.asarray(image)
    if image.mode.startswith("I;16"):
        return Image.fromarray(((deep.astype(np.uint32) + 128) // 257).astype(np.uint8))
    values = np.nan_to_num(deep.astype(np.float32), posinf=0, neginf=0)
    largest = values.max(initial=0)
    top = 65535 if largest > 255 else 255 if image.mode == "I" or largest > 1 else 1
    return Image.fromarray((np.clip(values / top, 0, 1) * 255).round().astype(np.uint8))


def _from_pixels(pixels: NDArray[np.uint8]) -> Image.Image:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise DataError(f"pixels must be uint8 [H, W, 1 or 3], got {pixels.dtype} {list(pixels.shape)}")
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
