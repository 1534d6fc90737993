"""Pairs of images that show the same: mirrored, shifted a little, in other colours, brighter, sharper.

Colours and shading are taken away first (gray, minus its blur), and local contrast is made even: sky, sea and lawns look alike
in many photographs, and so do all lines; what is fine does not.
Candidates are pairs whose coarse structure correlates, by matrix products of blocks. A candidate counts by how well the middle
of one image correlates with the other, at the best of some small shifts. Perceptual hashes (64 bits of a DCT),
the usual way, were not tried: they see the coarse part that is taken away here.
"""

# N items, H/W px, C channels, P pairs, D numbers that describe an item

from collections.abc import Iterable
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from slipway.data.checks.pairs import Pairs, unique

SIDE_PX, COARSE_PX = 32, 8
"""Images are compared at this size, candidates found at the coarse one."""
BLUR_PX = 3.0
"""Standard deviation of what is taken away. 2 to 4 found the same, on CIFAR-10."""
MARGIN_PX, SHIFT_PX = 4, 3
"""The middle is without so wide a border, which also hides frames; it is tried at shifts up to so many pixels."""
CANDIDATE = 0.65
"""Least coarse correlation. At 0.7 a twentieth of the near duplicates that are found among CIFAR-10's was lost."""
CANDIDATES = 16
"""Of an item on average at most, the best: sets of one kind of picture would have all pairs."""
BLOCK = 1024
EVEN = 2.0
"""Gray levels of local contrast that are made even: without that, two photographs of one line each correlate by the line."""
FLAT = 0.2
"""Root mean square, where 1 is structure all over, below which an image has none to compare."""


def near_images(chunks: Iterable[NDArray[np.uint8]], *, least: float) -> Pairs:
    """Pairs with a correlation of at least `least`, -1 to 1, of images uint8 [n, H, W, C] that come in chunks.

    Positions count over all chunks. Images without structure, such as a blank wall, are in no pair.
    """
    structure_NHW = np.concatenate([_structure(chunk) for chunk in chunks])
    pairs, mirrored_P = _candidates(structure_NHW)
    score_P = np.empty(len(pairs.a_P), np.float32)
    deviation_NYX = _deviations(structure_NHW)
    for at in range(0, len(score_P), BLOCK):
        part = slice(at, at + BLOCK)
        middle_PHW = structure_NHW[pairs.a_P[part]]
        middle_PHW = np.where(mirrored_P[part, None, None], middle_PHW[:, :, ::-1], middle_PHW)
        score_P[part] = _correlate(middle_PHW, structure_NHW[pairs.b_P[part]], deviation_NYX[pairs.b_P[part]])
    kept = score_P >= least
    return unique(Pairs(pairs.a_P[kept], pairs.b_P[kept], score_P[kept]))


def small_gray(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean of the channels at SIDE_PX, float32 [N, SIDE_PX, SIDE_PX], 0 to 255."""
    from PIL import Image

    gray_NHW: NDArray[np.float32] = images_NHWC.mean(axis=3, dtype=np.float32)
    if gray_NHW.shape[1:] == (SIDE_PX, SIDE_PX):
        return gray_NHW
    size = (SIDE_PX, SIDE_PX)
    small = [np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.BOX), np.float32) for gray in gray_NHW]
    return np.stack(small)


def _structure(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    from scipy.ndimage import gaussian_filter

    gray_NHW, blur = small_gray(images_NHWC), (0, BLUR_PX, BLUR_PX)
    fine_NHW = gray_NHW - gaussian_filter(gray_NHW, blur)
    return np.asarray(fine_NHW / (np.sqrt(gaussian_filter(fine_NHW**2, blur)) + EVEN), np.float32)


def _candidates(structure_NHW: NDArray[np.float32]) -> tuple[Pairs, NDArray[np.bool_]]:
    """Pairs a < b, and whether a is to be mirrored."""
    n, cell = len(structure_NHW), SIDE_PX // COARSE_PX
    coarse_NHW = structure_NHW.reshape(n, COARSE_PX, cell, COARSE_PX, cell).mean((2, 4))
    has_structure_N = structure_NHW.std((1, 2)) > FLAT
    straight_ND, mirror_ND = _unit(coarse_NHW, has_structure_N), _unit(coarse_NHW[:, :, ::-1], has_structure_N)
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], bool]] = []
    for start in range(0, n, BLOCK):
        for mirrored, one_ND in ((False, straight_ND), (True, mirror_ND)):
            likeness = one_ND[start : start + BLOCK] @ straight_ND[start:].T
            likeness[np.tril_indices(len(likeness))] = -1  # each pair once
            rows, columns = _most_alike(likeness)
            found.append((rows + start, columns + start, mirrored))
    a_P, b_P = (np.concatenate([part[side] for part in found]) for side in (0, 1))
    mirrored_P = np.array(list(chain.from_iterable([part[2]] * len(part[0]) for part in found)), bool)
    return Pairs(a_P, b_P, np.zeros(len(a_P), np.float32)), mirrored_P


def _most_alike(likeness: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns above CANDIDATE; where these are many, the CANDIDATES best of each row."""
    above = likeness > CANDIDATE
    if np.count_nonzero(above) <= CANDIDATES * len(likeness):
        return np.divmod(np.flatnonzero(above), likeness.shape[1])
    columns = []
    for row in likeness:
        best = np.argpartition(-row, min(CANDIDATES, len(row) - 1))[:CANDIDATES]
        columns.append(best[row[best] > CANDIDATE])
    rows = np.repeat(np.arange(len(likeness)), [len(best) for best in columns])
    return rows, np.concatenate(columns)


def _unit(coarse_NHW: NDArray[np.float32], has_structure_N: NDArray[np.bool_]) -> NDArray[np.float32]:
    flat_ND = coarse_NHW.reshape(len(coarse_NHW), -1)
    flat_ND = flat_ND - flat_ND.mean(1, keepdims=True)
    length_N = np.linalg.norm(flat_ND, axis=1, keepdims=True)
    return np.where(has_structure_N[:, None], flat_ND / np.maximum(length_N, 1e-6), 0).astype(np.float32)


def _deviations(structure_NHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Root of the sum of squares about the mean, of the window at each shift: [N, shifts, shifts]."""
    size = (SIDE_PX - 2 * MARGIN_PX) ** 2
    out = []
    for at in range(0, len(structure_NHW), BLOCK):
        values = structure_NHW[at : at + BLOCK].astype(np.float64)
        sums, squares = _window_sums(values), _window_sums(values**2)
        out.append(np.sqrt(np.maximum(squares - sums**2 / size, 1e-6)).astype(np.float32))
    return np.concatenate(out)


def _window_sums(values_NHW: NDArray[np.float64]) -> NDArray[np.float64]:
    integral = np.pad(values_NHW.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    first, shifts = MARGIN_PX - SHIFT_PX, 2 * SHIFT_PX + 1
    low = slice(first, first + shifts)
    high = slice(first + SIDE_PX - 2 * MARGIN_PX, first + SIDE_PX - 2 * MARGIN_PX + shifts)
    return np.asarray(integral[:, high, high] - integral[:, low, high] - integral[:, high, low] + integral[:, low, low])


def _correlate(
    one_PHW: NDArray[np.float32], other_PHW: NDArray[np.float32], deviation_PYX: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Largest correlation of the middle of one image with the other one, over the shifts; by Fourier transforms."""
    from scipy.fft import irfft2, rfft2

    inner = slice(MARGIN_PX, SIDE_PX - MARGIN_PX)
    middle_PHW = np.zeros_like(one_PHW)
    middle_PHW[:, inner, inner] = one_PHW[:, inner, inner] - one_PHW[:, inner, inner].mean((1, 2), keepdims=True)
    length_P = np.maximum(np.sqrt((middle_PHW**2).sum((1, 2))), 1e-3)
    products_PHW = irfft2(rfft2(middle_PHW).conj() * rfft2(other_PHW), s=one_PHW.shape[1:])
    shifts = np.arange(-SHIFT_PX, SHIFT_PX + 1)
    near_PYX = products_PHW[:, shifts][:, :, shifts] / (deviation_PYX * length_P[:, None, None])
    return np.asarray(near_PYX.max((1, 2)), np.float32)
