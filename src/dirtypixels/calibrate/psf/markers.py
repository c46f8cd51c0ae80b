"""A chart's markers in a picture: found all together, each measured; and why a picture cannot be used, in words."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dirtypixels.calibrate.diagnostics import Diagnostic
from dirtypixels.calibrate.psf import mapping as mappings
from dirtypixels.calibrate.psf.chart import USABLE_CELL_PX, BernoulliChart
from dirtypixels.calibrate.psf.corner_grid import (
    LEAST_CORRELATION,
    Correspondence,
    candidates,
    correspond,
    find_corners,
    grow,
    noise_cells,
    noise_correlation,
    opencv,
    refine,
    square_levels,
    within,
)
from dirtypixels.calibrate.psf.mapping import Points

_GUESSES = (0.9, 1.5, 0.55, 2.4, 0.34, 3.8)
"""Widths of a cell to look for, times the width that it has where the chart fills the frame, likely ones first."""

POSSIBLE_CELL_PX = (0.8, 5.0)
"""Widths of a cell in the capture between which anything can be measured."""

_LEAST_MARKERS = 9
"""Of a chart that is cut off."""

_MOST_HIDDEN = 0.15
"""Share of the markers that may be unreadable within the frame."""

_DOUBLED = 0.25
"""Correlation with the noise aside of the markers from which on it is the chart's. Chance gives 0.05, disks of 4 px 0.2
where their spectrum is below 0."""

_JUMP_PX = 14
"""How far such noise is looked for."""

_TOO_NOISY = 0.4
"""Noise of a pixel, as a share of the step from black to white, in which the pattern may be lost."""

_NOISY = 0.2
"""The same, from which on markers cannot be read for noise."""

_NO_TEXTURE = 0.015
"""Contrast of the noise, as a share of the markers' own, below which it is blurred away; sharp pictures have 0.1."""

_MOST_SATURATED = 0.25
"""Share of the white squares at saturation from which on the picture is refused; `flat_field` reports fewer."""

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


def find_markers(image: npt.NDArray[Any], chart: BernoulliChart, *, partial: bool = False) -> Markers:
    """Find the chart's markers in a picture of linear light.

    X-corners are looked for at several sizes; those that form a grid are laid onto the chart by the polarity of the
    markers, and the noise between them confirms it. A chart turned by 90, 180 or 270 degrees is recognized and noted.

    Args:
        image: (H, W) linear light at full resolution, e.g. green interpolated at the places of red and blue; black
            is about 0, and the sensor saturates at 1.
        chart: the chart that was photographed.
        partial: take a chart that is cut off by the frame, as long as at least nine markers are within.

    Raises:
        TypeError: image is not an array of numbers.
        ValueError: image has another shape or values that are not finite; the picture is too dark or overexposed; it
            shows no chart, another chart, a mirrored one, one cut off or partly hidden, or one too near or too far.
        RuntimeError: OpenCV is not installed.
    """
    picture = _checked_image(image)
    dark, bright = (float(v) for v in np.percentile(picture[::4, ::4], (2, 98)))
    if bright - dark < 0.02:
        raise ValueError(
            f"image is too dark or without contrast: 96 % of its pixels lie between {dark:.4g} and {bright:.4g}, and "
            "it saturates at 1. Expose longer"
        )
    found = _best(picture, chart)
    if found is None or not (found.correlation > LEAST_CORRELATION or found.grid.plausible):
        raise _no_chart(picture, chart)
    _check_correspondence(picture, chart, found)
    scale = float(np.median(found.mapping.cell_px(chart.markers[found.numbers])))
    if not POSSIBLE_CELL_PX[0] <= scale <= POSSIBLE_CELL_PX[1]:
        raise ValueError(
            f"a cell of the chart is {scale:.2f} px wide in image; {POSSIBLE_CELL_PX[0]:g} to {POSSIBLE_CELL_PX[1]:g} "
            f"px can be measured, {USABLE_CELL_PX[0]:g} to {USABLE_CELL_PX[1]:g} px is good. "
            + ("Move nearer or use a chart of fewer cells" if scale < 1 else "Move back or use a chart of more cells")
        )
    _check_white(picture, chart, found)
    # Half the side of the window in which a marker is measured: well within its squares even when turned.
    half = float(np.clip(0.55 * chart.square * scale, 4.0, 20.0))
    index, points = _completed(picture, chart, found, half)
    diagnostics = _completeness(picture, chart, found, index, points, half, partial)
    if not USABLE_CELL_PX[0] <= scale <= USABLE_CELL_PX[1]:
        text = (
            f"a cell is {scale:.2f} px wide; {USABLE_CELL_PX[0]:g} to {USABLE_CELL_PX[1]:g} px tells most about the PSF"
        )
        diagnostics.append(Diagnostic("cell-size", "warning", text))
    return Markers(points, chart.markers[index], index, found.quarters, tuple(diagnostics))


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


def _check_white(picture: _Picture, chart: BernoulliChart, found: Correspondence) -> None:
    """Raise ValueError where the chart's white is overexposed, as the middles of its white squares show."""
    boxes, colors = chart.patches()
    inside = within(found.mapping.to_image((boxes[:, :2] + boxes[:, 2:]) / 2), picture, -0.5) & (colors == 1)
    levels = square_levels(picture, chart, found.mapping, np.arange(len(chart.markers)), 0).ravel()[inside]
    full = float((levels >= 0.999).mean()) if levels.size else 0.0
    if full > _MOST_SATURATED:
        raise ValueError(
            f"image is overexposed: {100 * full:.0f} % of the chart's white is at saturation (1). "
            "Expose so that white stays below 90 % of it"
        )


def _no_chart(picture: _Picture, chart: BernoulliChart) -> ValueError:
    """What to raise where there is no grid of markers."""
    message = (
        f"image shows no chart: no grid of {_LEAST_MARKERS} or more checkerboard markers was found. The chart must "
        f"fill most of the frame, {chart.columns + 1} x {chart.rows + 1} markers, upright within 20 degrees, in focus, "
        "well lit and not too noisy"
    )
    full = float((picture >= 0.999).mean())
    if full > _MOST_SATURATED:
        message += f"; {100 * full:.0f} % of the pixels are at saturation (1), so it may be overexposed"
    return ValueError(message)


def _check_correspondence(picture: _Picture, chart: BernoulliChart, found: Correspondence) -> None:
    """Raise ValueError where the corners are no picture of this chart, saying of what else."""
    rows, columns = found.grid.polarity.shape
    if found.correlation > LEAST_CORRELATION:
        if found.mirrored:
            raise ValueError(
                "the chart is mirrored in image: the file was flipped after it was taken (front cameras often do "
                "that). PSFs would be mirrored too; use the unflipped raw file"
            )
        return
    if found.agreement < 0.9 or found.grid.count < 9:
        raise ValueError(
            f"image shows another chart: {columns} x {rows} markers were seen, {100 * found.agreement:.0f} % of them "
            f"as in this chart of {chart.columns + 1} x {chart.rows + 1}. Its values are printed below it"
        )
    # The markers are the chart's, and the noise between them cannot be recognized. Of a picture that moved by a jump,
    # the markers are found in the middle between both images, and the noise whole pixels aside of there.
    high, places, signs = noise_cells(found.mapping, picture, chart, chart.markers[found.numbers])
    shifts = itertools.product(range(-_JUMP_PX, _JUMP_PX + 1), repeat=2)
    correlation, (x, y) = max((noise_correlation(high, places + shift, signs), shift) for shift in shifts)
    if correlation > _DOUBLED:
        raise ValueError(
            f"image is blurred by movement: the chart's pattern lies ({x}, {y}) px aside of its markers, as in a "
            "double image. The camera or the chart moved while the shutter was open; mount both, and expose shorter"
        )
    if unclear := _unclear(picture, chart, found, _TOO_NOISY):
        raise ValueError(f"the chart's pattern cannot be recognized: {unclear}")
    raise ValueError(
        f"image shows a chart with the markers of this one, but with other noise (correlation "
        f"{found.correlation:.3f}, at least {LEAST_CORRELATION:g} is needed): its seed is not {chart.seed}, or its "
        "blocks are of another size. The chart's values are printed below it"
    )


def _unclear(picture: _Picture, chart: BernoulliChart, found: Correspondence, most_noise: float) -> str:
    """Why nothing is seen clearly in a picture; empty where that has other reasons.

    ``noise = sqrt(pi / 2) / 6 mean |L * picture|``, L a Laplacian that edges and slopes do not excite

    Its taps are 2 pixels apart, because neighbors in a green that was interpolated are no measurements of their own.
    The noise cells' deviation about their surroundings, less what the noise makes of it, over the markers' step
    from black to white is 0.1 in a sharp picture, and a tenth of that far out of focus.

    Source: Immerkaer, "Fast noise variance estimation", 1996.
    """
    near = chart.markers[found.numbers]
    high, places, _ = noise_cells(found.mapping, picture, chart, near)
    column, row = places.round().astype(int).T
    deviation = float(high[row, column].std())
    bend = np.zeros((5, 5), np.float32)
    bend[::2, ::2] = np.outer((1, -2, 1), (1, -2, 1))
    bent = np.abs(opencv().filter2D(picture, -1, bend, borderType=opencv().BORDER_REFLECT))
    half = max(1, int(0.2 * chart.square * float(np.median(found.mapping.cell_px(near)))))
    level, noise = (square_levels(values, chart, found.mapping, found.numbers, half) for values in (picture, bent))
    a, b, c, d = level.T
    step = max(float(np.median(np.abs(a + d - b - c) / 2)), 1e-12)
    spread = float(np.median(noise)) * np.sqrt(np.pi / 2) / 6
    if spread > most_noise * step:
        return (
            f"image is too noisy, a pixel's noise is about {100 * spread / step:.0f} % of the step from black to "
            "white. Average several frames, or use more light at a lower ISO"
        )
    texture = float(np.sqrt(max(deviation**2 - spread**2, 0.0))) / step
    if texture < _NO_TEXTURE:
        return (
            f"image is out of focus, the pattern between the markers is blurred to {100 * texture:.1f} % of their "
            "contrast. Focus on the chart"
        )
    return ""


def _completeness(
    picture: _Picture,
    chart: BernoulliChart,
    found: Correspondence,
    index: npt.NDArray[np.int64],
    points: Points,
    half: float,
    partial: bool,
) -> list[Diagnostic]:
    """Which markers are missing and why; ValueError where too many are, or the chart is cut off and may not be."""
    height, width = size = picture.shape[0], picture.shape[1]
    total = len(chart.markers)
    missing = np.setdiff1d(np.arange(total), index)
    # Where the missing ones should be is extrapolated, and high powers of the radius fold back into the frame.
    places = mappings.fit(chart.markers[index], points, size, outlier_px=2.0, most=1).to_image(chart.markers[missing])
    x, y = places.T
    edge = half + 3
    with np.errstate(invalid="ignore"):
        sides = {"left": x < edge, "right": ~(x < width - edge), "top": y < edge, "bottom": ~(y < height - edge)}
    cut = np.any(list(sides.values()), axis=0)
    turn = ("", "90 degrees counter-clockwise", "180 degrees", "90 degrees clockwise")[found.quarters]
    diagnostics: list[Diagnostic] = []
    if cut.any():
        where = " and ".join(f"{int(here.sum())} at the {side}" for side, here in sides.items() if here.any())
        text = f"the chart is cut off: {len(index)} of {total} markers are in the frame, missing are {where}"
        if found.quarters % 2:
            text += f" (the chart is turned by {turn}; turn it, or the camera, back)"
        if len(index) < _LEAST_MARKERS:
            raise ValueError(f"{text}, and at least {_LEAST_MARKERS} are needed. Move back or aim again")
        if not partial:
            raise ValueError(f"{text}. Move back or aim again, or pass partial=True (--partial)")
        diagnostics.append(Diagnostic("cut-off", "warning", text))
    hidden = int((~cut).sum())
    if hidden > _MOST_HIDDEN * total:
        unclear = _unclear(picture, chart, found, _NOISY)
        raise ValueError(
            f"{hidden} of {total} markers cannot be read although they should be in the frame: "
            + (unclear or "something covers the chart, or parts of it are far out of focus or overexposed")
        )
    if hidden:
        text = ", ".join(f"({a:.0f}, {b:.0f})" for a, b in places[~cut][:5])
        text = f"{hidden} of {total} markers cannot be read, at (x, y) = {text}"
        diagnostics.append(Diagnostic("hidden-markers", "warning", text))
    if found.quarters:
        text = f"the chart is turned by {turn}, which is taken into account"
        diagnostics.append(Diagnostic("turned", "warning" if found.quarters % 2 else "note", text))
    return diagnostics
