"""Diagnostic a chart's markers in a picture, and saying what is wrong with the picture where they are not all there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.psf import faults
from dirtypixels.calibrate.psf import lattice as lattices
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.identity import LEAST_CORRELATION, Identity, candidates, verified
from dirtypixels.calibrate.psf.lattice import Lattice
from dirtypixels.calibrate.psf.mapping import Mapping

_GUESSES = (0.9, 1.5, 0.55, 2.4, 0.34, 3.8)
"""Widths of a cell to look for, times the width that it has where the chart fills the frame, likely ones first."""

_Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Markers:
    """Which markers of a chart were found, and where.

    Args:
        image: (N, 2) places (x, y) in the picture, in pixels, pixel centers at integers.
        chart: (N, 2) places (x, y) in chart coordinates.
        index: (N,) number of each marker in `chart.markers`.
        quarters: quarter turns, counter-clockwise, by which the chart is turned in the picture: 0, 1, 2 or 3.
        diagnostics: what is worth knowing, e.g. markers that were not found.
    """

    image: _Points
    chart: _Points
    index: npt.NDArray[np.int64]
    quarters: int
    diagnostics: tuple[Diagnostic, ...] = ()


def find_markers(
    image: npt.NDArray[Any], chart: BernoulliChart, *, saturation: float = 1.0, partial: bool = False
) -> Markers:
    """Find the chart's markers in a picture of linear light.

    X-corners are looked for at several sizes; those that form a lattice are laid onto the chart by the polarity of the
    markers, and the noise between them confirms it. A chart turned by 90, 180 or 270 degrees is recognized and noted.

    Args:
        image: (H, W) linear light at full resolution, e.g. green interpolated at the places of red and blue; in any
            unit in which black is about 0.
        chart: the chart that was photographed.
        saturation: the value of `image` at which the sensor saturates.
        partial: take a chart that is cut off by the frame, as long as at least nine markers are within.

    Raises:
        TypeError: image is not an array of numbers.
        ValueError: image has another shape or values that are not finite; the picture is too dark or overexposed; it
            shows no chart, another chart, a mirrored one, one cut off or partly hidden, or one too near or too far.
        RuntimeError: OpenCV is not installed.
    """
    picture = checked_image(image)
    faults.check_exposure(picture, saturation)
    found = _best(picture, chart)
    if found is None or not (found[1].correlation > LEAST_CORRELATION or found[0].plausible):
        raise faults.no_chart(picture, chart, saturation)
    grid, identity = found
    faults.check_identity(picture, grid, identity, chart)
    where = identity.index >= 0
    index, points = identity.index[where], grid.points[where]
    assert identity.mapping is not None
    scale = float(np.median(identity.mapping.cell_px(chart.markers[index])))
    faults.check_cell(scale)
    faults.check_white(_white_values(picture, chart, identity.mapping), saturation)
    half = _window(chart, scale)
    index, points = _completed(picture, chart, identity, index, points, half)
    diagnostics = faults.completeness(picture, chart, identity, index, points, scale, half, partial)
    return Markers(points, chart.markers[index], index, identity.quarters, diagnostics)


def checked_image(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(H, W) float32.

    Raises:
        TypeError: not numbers.
        ValueError: another shape, smaller than 64 x 64, or not finite.
    """
    found = np.asarray(image)
    if found.dtype.kind not in "fiu":
        raise TypeError(f"image must be an array of real numbers; found {found.dtype}")
    if found.ndim != 2 or min(found.shape) < 64:
        raise ValueError(f"image must have shape (H, W), at least 64 x 64; found {found.shape}")
    picture = np.ascontiguousarray(found, dtype=np.float32)
    bad = int((~np.isfinite(picture)).sum())
    if bad:
        raise ValueError(f"image must be finite; found {bad} NaN or infinite of {picture.size} values")
    return picture


def _best(picture: npt.NDArray[np.float32], chart: BernoulliChart) -> tuple[Lattice, Identity] | None:
    """The lattice that fits the chart best over all guesses of its size, and how; None where there is no lattice."""
    height, width = picture.shape
    base = max(chart.cell_px(width, height), chart.cell_px(height, width))
    smooth = lattices.opencv().GaussianBlur(picture, (0, 0), 1.0)
    best: tuple[tuple[bool, float], Lattice, Identity] | None = None
    for guess in (base * factor for factor in _GUESSES):
        square = 0.75 * chart.square * guess
        if square < 4:
            continue
        points, scores = lattices.find_corners(picture, square)
        points = lattices.refine(smooth, points, 0.6 * square)
        sure = ~np.isnan(points[:, 0])
        grid = lattices.grow(points[sure], scores[sure], (0.75 * chart.block * guess, 1.9 * chart.block * guess))
        if grid is None or grid.count < 6:
            continue
        for candidate in _tried(candidates(grid, chart)):
            identity = verified(candidate, grid, picture, chart)
            known = identity.correlation > LEAST_CORRELATION
            # Without the noise's word, the lattice with more markers of the right polarity says more about the picture.
            rank = (known, grid.count * (1.0 if known else identity.agreement))
            if best is None or rank > best[0]:
                best = (rank, grid, identity)
            if known:
                break
        if best is not None and best[1].count >= 0.9 * len(chart.markers) and (best[0][0] or best[2].agreement > 0.95):
            break
    return None if best is None else best[1:]


def _tried(found: list[Identity]) -> list[Identity]:
    """Candidates worth a look at the noise: the best by polarity, few where one stands out."""
    if not found:
        return []
    least = found[0].agreement - 0.15
    return [one for one in found[:12] if one.agreement >= least]


def _window(chart: BernoulliChart, scale: float) -> float:
    """Half the side of the window in which a marker is measured: well within its squares even when turned."""
    return float(np.clip(0.55 * chart.square * scale, 4.0, 20.0))


def _completed(
    picture: npt.NDArray[np.float32],
    chart: BernoulliChart,
    identity: Identity,
    index: npt.NDArray[np.int64],
    points: _Points,
    half: float,
) -> tuple[npt.NDArray[np.int64], _Points]:
    """All markers measured again in windows that fit their size, the missing ones where they should be.

    A marker counts as found if its measured place is near where the others expect it and its squares are to be seen
    there: a window on nothing would otherwise give back the place at which the search began.
    """
    assert identity.mapping is not None
    smooth = lattices.opencv().GaussianBlur(picture, (0, 0), 1.0)
    expected = identity.mapping.to_image(chart.markers)
    start = np.where(np.isnan(expected), -1e6, expected)
    start[index] = points
    measured = lattices.refine(smooth, start, half)
    with np.errstate(invalid="ignore"):
        found = np.hypot(*(measured - expected).T) < max(2.0, 0.2 * half)
    here = np.flatnonzero(found & _visible(picture, chart, identity.mapping))
    return here, measured[here]


def _white_values(picture: npt.NDArray[np.float32], chart: BernoulliChart, mapping: Mapping) -> _Points:
    """The pixels at the middles of the white squares that are in the picture."""
    boxes, colors = chart.patches()
    x, y = np.nan_to_num(mapping.to_image((boxes[:, :2] + boxes[:, 2:])[colors == 1] / 2), nan=-1.0).T
    column, row = x.round().astype(int), y.round().astype(int)
    inside = (column >= 0) & (row >= 0) & (column < picture.shape[1]) & (row < picture.shape[0])
    return np.asarray(picture[row[inside], column[inside]], dtype=np.float64)


def _visible(picture: npt.NDArray[np.float32], chart: BernoulliChart, mapping: Mapping) -> npt.NDArray[np.bool_]:
    """Whether each marker's four squares are in the picture, dark and bright as they should be."""
    cv2 = lattices.opencv()
    corners = chart.square / 2 * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]])
    places = mapping.to_image((chart.markers[:, None] + corners).reshape(-1, 2))
    reach = max(3, int(0.3 * chart.square * float(np.nanmedian(mapping.cell_px(chart.markers))))) | 1
    x, y = np.nan_to_num(places, nan=-1e6).astype(np.float32).T
    mean = cv2.remap(
        cv2.blur(picture, (reach, reach)), x[:, None], y[:, None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    a, b, c, d = mean.reshape(-1, 4).T.astype(np.float64)
    height, width = picture.shape
    middle = mapping.to_image(chart.markers)
    inside = (middle > 0).all(1) & (middle[:, 0] < width - 1) & (middle[:, 1] < height - 1)
    step = (b + c - a - d) / 2 * chart.polarity.ravel()
    usual = float(np.median(step[inside])) if inside.any() else 0.0
    seen: npt.NDArray[np.bool_] = inside & (step > 0.25 * usual) & (np.maximum(abs(a - d), abs(b - c)) < 0.6 * step)
    return seen
