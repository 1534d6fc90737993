"""Contact sheets: the images of a finding, those that belong together side by side, with captions."""

import itertools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from slipway.data.checks.report import Finding, Listed
from slipway.data.dataset import Dataset

TILE_PX, GAP_PX, LINE_PX, FONT_PX = 96, 12, 13, 10
WIDTH_PX = 1000
LINES = 3
"""Of a caption: source, split and label, note."""


def draw(dataset: Dataset, finding: Finding, path: Path) -> None:
    """Write a PNG of the finding's images, in its order; about 1000 px wide.

    Raises: DataError: a data set of texts.
    """
    font = _font()
    groups = [list(group) for _, group in itertools.groupby(finding.items, key=lambda item: item.group)]
    widest = max(len(group) for group in groups)
    columns = max(1, WIDTH_PX // (widest * TILE_PX + GAP_PX))
    cell_px, row_px = widest * TILE_PX + GAP_PX, TILE_PX + LINES * LINE_PX + GAP_PX
    rows = -(-len(groups) // columns)
    columns = min(columns, len(groups))
    sheet = Image.new("RGB", (columns * cell_px + GAP_PX, rows * row_px + GAP_PX), "white")
    pen = ImageDraw.Draw(sheet)
    pixels = _pixels(dataset, finding)
    for number, group in enumerate(groups):
        x0, y0 = GAP_PX + number % columns * cell_px, GAP_PX + number // columns * row_px
        for place, item in enumerate(group):
            x = x0 + place * TILE_PX
            sheet.paste(_tile(pixels[item.split, item.id]), (x, y0))
            for line, text in enumerate((item.source, f"{item.split}: {item.label}", item.note if place == 0 else "")):
                pen.text((x, y0 + TILE_PX + 1 + line * LINE_PX), _cut(text, font), fill="black", font=font)
    sheet.save(path, "PNG")


def _pixels(dataset: Dataset, finding: Finding) -> dict[tuple[str, str], np.ndarray]:
    wanted: dict[str, list[Listed]] = {}
    for item in finding.items:
        wanted.setdefault(item.split, []).append(item)
    found = {}
    for split, items in wanted.items():
        place = {key: i for i, key in enumerate(dataset.ids(split))}
        images, _ = dataset.arrays(split)
        for item in items:
            found[split, item.id] = images[place[item.id]]
    return found


def _tile(pixels_HWC: np.ndarray) -> Image.Image:
    image = Image.fromarray(pixels_HWC[:, :, 0] if pixels_HWC.shape[2] == 1 else pixels_HWC).convert("RGB")
    side = TILE_PX - 2
    return image.resize((side, side), Image.Resampling.NEAREST if image.width < side / 2 else Image.Resampling.BICUBIC)


def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, as in our other pictures: it has the letters of most alphabets."""
    import matplotlib

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", FONT_PX)


def _cut(text: str, font: ImageFont.FreeTypeFont) -> str:
    """The text as far as it fits under a tile; of a longer one, its end, where names differ."""
    text = " ".join(text.split())
    if font.getlength(text) <= TILE_PX - 4:
        return text
    while text and font.getlength("…" + text) > TILE_PX - 4:
        text = text[1:]
    return "…" + text
