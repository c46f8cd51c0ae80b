"""A chart's markers in a picture: found all together, each measured, and the picture refused where they are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.psf import diagnosis
from dirtypixels.calibrate.psf.chart import BernoulliChart
from dirtypixels.calibrate.psf.corner_grid import (
    LEAST_CORRELATION,
    Correspondence,
    candidates,
    correspond,
    find_corners,
    grow,
    opencv,
    refine,
    square_levels,
    within,
)
from dirtypixels.calibrate.psf.mapping import Points

_GUESSES = (0.9, 1.5, 0.55, 2.4, 0.34, 3.8)
"""Widths of a cell to look for, times the width that it has where the chart fills the frame, likely ones first."""

_Picture = npt.NDArray[np.float32]


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

    image: Points
    chart: Points
    index: npt.NDArray[np.int64]
    quarters: int
    diagnostics: tuple[Diagnostic, ...] = ()


def find_markers(
    image: npt.NDArray[Any], chart: BernoulliChart, *, saturation: float = 1.0, partial: bool = False
) -> Markers:
    """Find the chart's markers in a picture of linear light.

    X-corners are looked for at several sizes; those that form a grid are laid onto the chart by the polarity of the
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
    picture = _checked_image(image)
    diagnosis.check_exposure(picture, saturation)
    found = _best(picture, chart)
    if found is None or not (found.correlation > LEAST_CORRELATION or found.grid.plausible):
        raise diagnosis.no_chart(picture, chart, saturation)
    diagnosis.check_correspondence(picture, chart, found)
    scale = float(np.median(found.mapping.cell_px(chart.markers[found.numbers])))
    diagnosis.check_cell(scale)
    diagnosis.check_white(picture, chart, found, saturation)
    # Half the side of the window in which a marker is measured: well within its squares even when turned.
    half = float(np.clip(0.55 * chart.square * scale, 4.0, 20.0))
    index, points = _completed(picture, chart, found, half)
    diagnostics = diagnosis.completeness(picture, chart, found, index, points, scale, half, partial)
    return Markers(points, chart.markers[index], index, found.quarters, diagnostics)


def _checked_image(image: npt.NDArray[Any]) -> _Picture:
    """(H, W) float32, numbers, at least 64 x 64, finite."""
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


def _best(picture: _Picture, chart: BernoulliChart) -> Correspondence | None:
    """What fits the chart best over all guesses of its size; None where there is no grid of corners."""
    height, width = picture.shape
    base = max(chart.cell_px(width, height), chart.cell_px(height, width))
    smooth = opencv().GaussianBlur(picture, (0, 0), 1.0)
    best: tuple[tuple[bool, float], Correspondence] | None = None
    for guess in (base * factor for factor in _GUESSES):
        square = 0.75 * chart.square * guess
        if square < 4:
            continue
        points, scores = find_corners(picture, square)
        points = refine(smooth, points, 0.6 * square)
        sure = ~np.isnan(points[:, 0])
        grid = grow(points[sure], scores[sure], (0.75 * chart.block * guess, 1.9 * chart.block * guess))
        if grid is None or grid.count < 6:
            continue
        # Those worth a look at the noise: the best by polarity, few where one stands out.
        ways = candidates(grid, chart)[:12]
        for candidate in (one for one in ways if one.agreement >= ways[0].agreement - 0.15):
            found = correspond(candidate, grid, picture, chart)
            known = found.correlation > LEAST_CORRELATION
            # Without the noise's word, the grid with more markers of the right polarity says more about the picture.
            rank = (known, grid.count * (1.0 if known else found.agreement))
            if best is None or rank > best[0]:
                best = (rank, found)
            if known:
                break
        if best is not None:
            (known, _), found = best
            if found.grid.count >= 0.9 * len(chart.markers) and (known or found.agreement > 0.95):
                break
    return None if best is None else best[1]


def _completed(
    picture: _Picture, chart: BernoulliChart, found: Correspondence, half: float
) -> tuple[npt.NDArray[np.int64], Points]:
    """All markers measured again in windows that fit their size, the missing ones where they should be.

    A marker counts as found if its measured place is near where the others expect it and its squares are to be seen
    there: a window on nothing would otherwise give back the place at which the search began.
    """
    expected = found.mapping.to_image(chart.markers)
    start = np.where(np.isnan(expected), -1e6, expected)
    start[found.numbers] = found.grid.points[found.index >= 0]
    measured = refine(opencv().GaussianBlur(picture, (0, 0), 1.0), start, half)
    with np.errstate(invalid="ignore"):
        near = np.hypot(*(measured - expected).T) < max(2.0, 0.2 * half)
    here = np.flatnonzero(near & _visible(picture, chart, found, expected))
    return here, measured[here]


def _visible(
    picture: _Picture, chart: BernoulliChart, found: Correspondence, expected: Points
) -> npt.NDArray[np.bool_]:
    """Whether each marker's four squares are in the picture, dark and bright as they should be."""
    half = max(1, int(0.3 * chart.square * float(np.nanmedian(found.mapping.cell_px(chart.markers)))) // 2)
    a, b, c, d = square_levels(picture, chart, found.mapping, np.arange(len(chart.markers)), half).T
    inside = within(expected, picture)
    step = (b + c - a - d) / 2 * chart.polarity.ravel()
    usual = float(np.median(step[inside])) if inside.any() else 0.0
    return np.asarray(inside & (step > 0.25 * usual) & (np.maximum(abs(a - d), abs(b - c)) < 0.6 * step))
